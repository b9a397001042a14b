// A load client for WebSocket servers: one thread, thousands of connections, every payload verified.
//
//   load echo        --port N --pid PID [--connections 100] [--depth 1] [--size 64] [--seconds 2]
//   load broadcast   --port N --pid PID [--connections 1000] [--depth 4] [--rooms 1]
//   load handshakes  --port N --pid PID [--connections 64]
//   load idle        --port N --pid PID [--connections 5000]
//
// echo keeps `depth` messages under way on every connection; broadcast keeps as many under way from the first member
// of each room and counts deliveries; handshakes opens and closes, so many at a time; idle opens, exchanges one
// message on each, and measures memory. Further: --path, --warmup seconds, --binary.
// Prints one JSON object. A wrong byte, an error or a connection that ends ends the program with status 1.

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "connection.h"
#include "poller.h"
#include "process.h"

enum { max_microseconds = 1 << 20, opening_at_once = 64 };

typedef enum { ECHO, BROADCAST, HANDSHAKES, IDLE } Mode;

static Mode mode;
static uint32_t count, rooms = 1;
static Connection *connections;
static uint32_t started, opened;
static bool measuring, sending = true;
static uint64_t done;                        // messages, deliveries or handshakes, while measuring
static uint64_t all_done;                    // … since the program began
static uint64_t *deliveries;                 // of each room and each message under way
static uint32_t latencies[max_microseconds]; // how often a message took so many microseconds
static Connection **ended;                   // those to start again
static uint32_t ended_count;
static uint64_t turn_time;                   // nanoseconds: when this turn found its sockets ready

// MARK: Latency

static void record(uint64_t since) {
    if (!measuring) return;
    uint64_t microseconds = (turn_time - since) / 1000;
    latencies[microseconds < max_microseconds ? microseconds : max_microseconds - 1]++;
}

// The microseconds within which this part of all messages was answered.
static uint32_t percentile(double part) {
    uint64_t total = 0, below = 0;
    for (uint32_t i = 0; i < max_microseconds; i++) total += latencies[i];
    for (uint32_t i = 0; i < max_microseconds; i++)
        if ((double)(below += latencies[i]) > part * (double)total) return i;
    return 0;
}

// MARK: What the connections tell

static uint32_t members_of(uint32_t room) { return count / rooms + (room < count % rooms ? 1 : 0); }

void on_open(Connection *connection) {
    opened++;
    if (mode != HANDSHAKES) return;
    if (measuring) done++;
    record(connection->began);
    connection_close(connection);
}

static void echoed(Connection *connection, uint32_t messages) {
    for (uint32_t n = messages; n > 0; n--) record(connection->sent_at[(connection->received - n) % plan.depth]);
    if (measuring) done += messages;
    if (sending) connection_send(connection, messages);
}

static void delivered(Connection *connection, uint32_t messages) {
    uint32_t room = connection->sender, complete = 0;
    for (uint32_t n = messages; n > 0; n--) {
        uint32_t slot = (uint32_t)((connection->received - n) % plan.depth);
        if (++deliveries[room * plan.depth + slot] < members_of(room)) continue;
        deliveries[room * plan.depth + slot] = 0;
        record(connections[room].sent_at[slot]);
        complete++;
    }
    if (measuring) done += messages;
    // The first member of a room is its sender, and its number is the room's.
    if (sending && complete > 0) connection_send(&connections[room], complete);
}

void on_messages(Connection *connection, uint32_t messages) {
    all_done += messages;
    if (mode == ECHO) echoed(connection, messages);
    if (mode == BROADCAST) delivered(connection, messages);
}

// Only at the end of the turn: the connection that ends is still being looked at.
void on_closed(Connection *connection) { ended[ended_count++] = connection; }

// MARK: Running

static void turn(int milliseconds) {
    static Readiness ready[512];
    int found = poller_wait(ready, 512, milliseconds);
    turn_time = now();
    for (int i = 0; i < found; i++) connection_ready(ready[i].owner, ready[i].readable, ready[i].writable);
    while (ended_count > 0) connection_start(ended[--ended_count]);
}

static void run_for(double seconds) {
    uint64_t end = now() + (uint64_t)(seconds * 1e9);
    while (now() < end) turn(10);
}

static void open_all(void) {
    // Generous: a slow server on a busy machine opens a few hundred in a second.
    uint64_t deadline = now() + (20 + count / 100) * 1000000000ull;
    while (opened < count) {
        while (started < count && started - opened < (rooms > 1 ? 1 : opening_at_once)) {
            Connection *connection = &connections[started];
            connection->number = started++;
            connection->sender = mode == BROADCAST ? connection->number % rooms : connection->number;
            connection_start(connection);
        }
        turn(10);
        if (now() > deadline) fail(&connections[opened], "the connections do not open");
    }
}

static void measure(pid_t server, double warmup, double seconds) {
    run_for(warmup);
    measuring = true;
    double cpu = process_cpu(server), own = own_cpu();
    uint64_t begin = now();
    run_for(seconds);
    double elapsed = (double)(now() - begin) / 1e9;
    cpu = process_cpu(server) - cpu;
    own = own_cpu() - own;
    measuring = false;
    sending = false;
    if (done == 0) fail(&connections[0], "nothing came back");
    printf("{\"done\": %llu, \"per_second\": %.1f, \"cpu_us\": %.4f, \"p50_us\": %u, \"p99_us\": %u, "
           "\"server_cpu\": %.3f, \"client_cpu\": %.3f}\n",
           (unsigned long long)done, (double)done / elapsed, cpu / (double)done * 1e6, percentile(0.5),
           percentile(0.99), cpu / elapsed, own / elapsed);
}

static void measure_idle(pid_t server, double seconds, double memory_before) {
    run_for(0.5);
    double untouched = process_memory(server);
    for (uint32_t n = 0; n < count; n++) connection_send(&connections[n], 1);
    uint64_t deadline = now() + 60 * 1000000000ull;
    while (all_done < count) {
        turn(10);
        if (now() > deadline) fail(&connections[0], "not every message came back");
    }
    run_for(seconds);
    double memory = process_memory(server), cpu = process_cpu(server);
    run_for(seconds);
    cpu = process_cpu(server) - cpu;
    printf("{\"done\": %u, \"kib\": %.3f, \"kib_untouched\": %.3f, \"server_cpu\": %.4f}\n", count,
           (memory - memory_before) / count, (untouched - memory_before) / count, cpu / seconds);
}

// MARK: Options

static _Noreturn void refuse(const char *what) {
    fprintf(stderr, "load: %s; the head of main.c tells how to use it\n", what);
    exit(2);
}

static double number(const char *text, double least) {
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || value < least) refuse(text);
    return value;
}

int main(int argc, char **argv) {
    static const char *modes[] = {"echo", "broadcast", "handshakes", "idle"};
    static const uint32_t default_counts[] = {100, 1000, opening_at_once, 5000};
    static const struct option options[] = {
        {"port", required_argument, 0, 'p'},    {"pid", required_argument, 0, 'k'},
        {"connections", required_argument, 0, 'n'}, {"depth", required_argument, 0, 'd'},
        {"size", required_argument, 0, 's'},    {"seconds", required_argument, 0, 't'},
        {"warmup", required_argument, 0, 'w'},  {"rooms", required_argument, 0, 'r'},
        {"path", required_argument, 0, 'u'},    {"binary", no_argument, 0, 'b'},
        {0, 0, 0, 0}};
    int chosen = 0;
    while (chosen < 4 && (argc < 2 || strcmp(argv[1], modes[chosen]))) chosen++;
    if (chosen == 4) refuse("the first argument is echo, broadcast, handshakes or idle");
    mode = (Mode)chosen;
    count = default_counts[mode];
    plan = (Plan){.path = mode == BROADCAST ? "/broadcast" : "/echo", .size = 64, .depth = mode == BROADCAST ? 4 : 1};
    pid_t server = 0;
    double seconds = 2, warmup = 0.5;
    optind = 2;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (option) {
        case 'p': plan.port = (int)number(optarg, 1); break;
        case 'k': server = (pid_t)number(optarg, 1); break;
        case 'n': count = (uint32_t)number(optarg, 1); break;
        case 'd': plan.depth = (uint32_t)number(optarg, 1); break;
        case 's': plan.size = (size_t)number(optarg, 16); break;
        case 't': seconds = number(optarg, 0.01); break;
        case 'w': warmup = number(optarg, 0); break;
        case 'r': rooms = (uint32_t)number(optarg, 1); break;
        case 'u': plan.path = optarg; break;
        case 'b': plan.binary = true; break;
        default: refuse("unknown option");
    }
    if (!plan.port || !server) refuse("--port and --pid are needed");
    if (rooms > count) refuse("there are more rooms than connections");
    if (rooms > 1) plan.path = "/broadcast/%u";

    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < count + 64) files.rlim_cur = count + 64 < files.rlim_max ? count + 64 : files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poller_open();
    connections_prepare();
    connections = calloc(count, sizeof *connections);
    ended = calloc(count, sizeof *ended);
    deliveries = calloc((size_t)rooms * plan.depth, sizeof *deliveries);

    double memory_before = process_memory(server);
    if (mode == HANDSHAKES) {
        for (uint32_t n = 0; n < count; n++) connection_start(&connections[n]);
    } else {
        open_all();
    }
    if (mode == IDLE) {
        measure_idle(server, seconds, memory_before);
        return 0;
    }
    if (mode == ECHO)
        for (uint32_t n = 0; n < count; n++) connection_send(&connections[n], plan.depth);
    if (mode == BROADCAST) {
        // The server may add a member a moment after it has accepted it.
        run_for(0.3);
        for (uint32_t room = 0; room < rooms; room++) connection_send(&connections[room], plan.depth);
    }
    measure(server, warmup, seconds);
    return 0;
}
