#ifndef __APPLE__
#define _GNU_SOURCE
#endif
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "poller.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 // Darwin: SIGPIPE is ignored instead
#endif

enum { stamp_length = 16, max_batch = 64, max_response = 4096 };
enum { opcode_close = 8, opcode_ping = 9, opcode_pong = 10 };

// One key for all: the server cannot tell, and the client masks its messages only once.
static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

Plan plan;
static uint8_t *pattern;      // the payload that is expected, but for its stamp
static uint8_t *frames;       // `batch` frames in a row, complete but for their stamps
static size_t header_length, frame_length;
static uint32_t batch;
static uint8_t received[1 << 18];

uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void fail(const Connection *connection, const char *what) {
    fprintf(stderr, "load: connection %u, message %llu: %s (%s)\n", connection->number,
            (unsigned long long)connection->received, what, strerror(errno));
    exit(1);
}

void connections_prepare(void) {
    pattern = malloc(plan.size);
    for (size_t i = 0; i < plan.size; i++) pattern[i] = plan.binary ? (uint8_t)(i * 131 ^ i >> 8) : ' ' + i * 7 % 90;

    uint8_t header[14] = {plan.binary ? 0x82 : 0x81};
    if (plan.size < 126) {
        header[1] = 0x80 | (uint8_t)plan.size;
        header_length = 2;
    } else if (plan.size < 65536) {
        header[1] = 0x80 | 126;
        for (int i = 0; i < 2; i++) header[2 + i] = (uint8_t)(plan.size >> (8 - 8 * i));
        header_length = 4;
    } else {
        header[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++) header[2 + i] = (uint8_t)((uint64_t)plan.size >> (56 - 8 * i));
        header_length = 10;
    }
    memcpy(header + header_length, mask, 4);
    header_length += 4;
    frame_length = header_length + plan.size;
    batch = (uint32_t)((1 << 18) / frame_length);
    batch = batch < 1 ? 1 : batch > max_batch ? max_batch : batch;
    frames = malloc(batch * frame_length);
    for (uint32_t n = 0; n < batch; n++) {
        uint8_t *frame = frames + n * frame_length;
        memcpy(frame, header, header_length);
        for (size_t i = 0; i < plan.size; i++) frame[header_length + i] = pattern[i] ^ mask[i & 3];
    }
}

// Who sent a message, and which of its messages it is: 16 hexadecimal digits, so that it is text, too.
static void stamp(uint8_t *place, uint32_t sender, uint64_t sequence) {
    uint64_t value = (uint64_t)sender << 32 | (uint32_t)sequence;
    for (int i = stamp_length - 1; i >= 0; i--, value >>= 4) place[i] = (uint8_t)"0123456789abcdef"[value & 15];
}

static void watch(Connection *connection, bool writing) {
    if (connection->writing == writing) return;
    connection->writing = writing;
    poller_change(connection->fd, connection, writing);
}

// MARK: Out

static void send_control(Connection *connection, int opcode, const uint8_t *payload, int length) {
    uint8_t frame[131] = {(uint8_t)(0x80 | opcode), (uint8_t)(0x80 | length)};
    memcpy(frame + 2, mask, 4);
    for (int i = 0; i < length; i++) frame[6 + i] = payload[i] ^ mask[i & 3];
    if (send(connection->fd, frame, (size_t)length + 6, MSG_NOSIGNAL) != length + 6) fail(connection, "control frame");
}

static void flush(Connection *connection) {
    for (;;) {
        // A control frame may stand between two frames only.
        if (connection->pong_due >= 0 && connection->due_offset == 0) {
            send_control(connection, opcode_pong, connection->control, connection->pong_due);
            connection->pong_due = -1;
        }
        if (connection->due == 0) break;
        uint32_t count = connection->due < batch ? connection->due : batch;
        for (uint32_t n = 0; n < count; n++) {
            uint8_t *place = frames + n * frame_length + header_length;
            stamp(place, connection->number, connection->sent + n);
            for (int i = 0; i < stamp_length; i++) place[i] ^= mask[i & 3];
        }
        size_t length = count * frame_length - connection->due_offset;
        ssize_t taken = send(connection->fd, frames + connection->due_offset, length, MSG_NOSIGNAL);
        if (taken < 0 && errno == EAGAIN) return watch(connection, true);
        if (taken < 0) fail(connection, "send");
        size_t offset = connection->due_offset + (size_t)taken;
        connection->sent += offset / frame_length;
        connection->due -= (uint32_t)(offset / frame_length);
        connection->due_offset = offset % frame_length;
        if ((size_t)taken < length) return watch(connection, true);
    }
    watch(connection, false);
}

void connection_send(Connection *connection, uint32_t count) {
    uint64_t time = now();
    for (uint32_t n = 0; n < count; n++)
        connection->sent_at[(connection->sent + connection->due + n) % plan.depth] = time;
    connection->due += count;
    flush(connection);
}

void connection_close(Connection *connection) {
    connection->state = CLOSING;
    send_control(connection, opcode_close, (const uint8_t[]){1000 >> 8, 1000 & 0xff}, 2);
}

void connection_abort(Connection *connection) {
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(connection->fd);
    free(connection->response);
    connection->response = NULL;
    connection->state = CLOSED;
}

// MARK: The handshake

void connection_start(Connection *connection) {
    uint32_t number = connection->number, sender = connection->sender;
    uint64_t *sent_at = connection->sent_at;
    memset(connection, 0, sizeof *connection);
    connection->number = number;
    connection->sender = sender;
    connection->sent_at = sent_at ? sent_at : calloc(plan.depth, sizeof *sent_at);
    connection->pong_due = -1;
    connection->began = now();
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->fd < 0) fail(connection, "socket");
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)plan.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail(connection, "connect");
    connection->writing = true;
    poller_add(connection->fd, connection);
}

static void upgrade(Connection *connection) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    errno = error;
    if (error) fail(connection, "connect");
    char path[200], request[600];
    snprintf(path, sizeof path, plan.path, connection->sender);
    // The nonce and, below, the answer to it: the example of RFC 6455, section 1.3.
    int count = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", path, plan.port);
    if (send(connection->fd, request, (size_t)count, MSG_NOSIGNAL) != count) fail(connection, "request");
    connection->state = UPGRADING;
    connection->response = malloc(max_response);
    watch(connection, false);
}

// How many bytes of these belong to the handshake, the rest being frames.
static size_t take_response(Connection *connection, const uint8_t *bytes, size_t count) {
    int before = connection->response_length;
    if ((size_t)before + count >= max_response) fail(connection, "the handshake's response is too long");
    memcpy(connection->response + before, bytes, count);
    connection->response_length += (int)count;
    connection->response[connection->response_length] = 0;
    char *end = strstr(connection->response, "\r\n\r\n");
    if (!end) return count;
    if (strncmp(connection->response, "HTTP/1.1 101", 12) || !strstr(connection->response, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        fail(connection, "the handshake was refused");
    size_t taken = (size_t)(end + 4 - connection->response - before);
    free(connection->response);
    connection->response = NULL;
    connection->state = OPEN;
    on_open(connection);
    return taken;
}

// MARK: In

// Takes a frame's header; false if it is not complete yet.
static bool take_header(Connection *connection, const uint8_t **bytes, const uint8_t *end) {
    uint8_t *header = connection->header;
    int needed = 2;
    while (*bytes < end && connection->header_length < needed) {
        header[connection->header_length++] = *(*bytes)++;
        if (connection->header_length >= 2) needed = (header[1] & 0x7f) == 126 ? 4 : (header[1] & 0x7f) == 127 ? 10 : 2;
    }
    if (connection->header_length < 2) return false;
    needed = (header[1] & 0x7f) == 126 ? 4 : (header[1] & 0x7f) == 127 ? 10 : 2;
    while (*bytes < end && connection->header_length < needed) header[connection->header_length++] = *(*bytes)++;
    if (connection->header_length < needed) return false;
    if (header[1] & 0x80) fail(connection, "a masked frame from the server");
    if (header[0] & 0x70) fail(connection, "a reserved bit is set");
    connection->frame_length = header[1] & 0x7f;
    if (needed > 2) connection->frame_length = 0;
    for (int i = 2; i < needed; i++) connection->frame_length = connection->frame_length << 8 | header[i];
    connection->frame_offset = 0;
    connection->header_length = 0;
    connection->in_payload = true;

    int opcode = header[0] & 15;
    if (opcode >= opcode_close) return true;
    // A server may send a message in fragments.
    if (opcode != (connection->message_offset ? 0 : plan.binary ? 2 : 1)) fail(connection, "unexpected opcode");
    uint64_t length = connection->message_offset + connection->frame_length;
    if (header[0] & 0x80 ? length != plan.size : length > plan.size) fail(connection, "unexpected length");
    return true;
}

static void verify(Connection *connection, const uint8_t *bytes, size_t count) {
    size_t offset = connection->message_offset + connection->frame_offset, checked = 0;
    if (offset < stamp_length) {
        uint8_t expected[stamp_length];
        stamp(expected, connection->sender, connection->received);
        checked = stamp_length - offset < count ? stamp_length - offset : count;
        if (memcmp(bytes, expected + offset, checked)) fail(connection, "another message than expected");
    }
    if (memcmp(bytes + checked, pattern + offset + checked, count - checked)) fail(connection, "wrong payload");
}

// A whole control frame came.
static void take_control(Connection *connection, int opcode) {
    if (opcode == opcode_ping) {
        connection->pong_due = (int)connection->frame_length;
        flush(connection);
    } else if (opcode == opcode_close) {
        if (connection->state != CLOSING) fail(connection, "the server closes");
        connection_abort(connection);
        on_closed(connection);
    }
}

static void take_frames(Connection *connection, const uint8_t *bytes, const uint8_t *end) {
    uint32_t whole = 0;
    while (connection->state != CLOSED && (bytes < end || (connection->in_payload && connection->frame_length == 0))) {
        if (!connection->in_payload && !take_header(connection, &bytes, end)) break;
        int opcode = connection->header[0] & 15;
        uint64_t missing = connection->frame_length - connection->frame_offset;
        size_t count = missing < (size_t)(end - bytes) ? (size_t)missing : (size_t)(end - bytes);
        if (opcode < opcode_close)
            verify(connection, bytes, count);
        else if (connection->frame_length <= sizeof connection->control)
            memcpy(connection->control + connection->frame_offset, bytes, count);
        else
            fail(connection, "a control frame of more than 125 bytes");
        bytes += count;
        connection->frame_offset += count;
        if (connection->frame_offset < connection->frame_length) break;
        connection->in_payload = false;
        if (opcode >= opcode_close) {
            take_control(connection, opcode);
        } else if (connection->header[0] & 0x80) {
            connection->message_offset = 0;
            connection->received++;
            whole++;
        } else {
            connection->message_offset += connection->frame_length;
        }
    }
    if (whole > 0 && connection->state != CLOSED) on_messages(connection, whole);
}

static void receive(Connection *connection) {
    // Some rounds, then the others have their turn.
    for (int round = 0; round < 4 && connection->state != CLOSED; round++) {
        ssize_t count = recv(connection->fd, received, sizeof received, 0);
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0 && connection->state == CLOSING) {
            connection_abort(connection);
            return on_closed(connection);
        }
        if (count <= 0) fail(connection, count ? "recv" : "the server ended the connection");
        const uint8_t *bytes = received, *end = received + count;
        if (connection->state == UPGRADING) bytes += take_response(connection, bytes, (size_t)count);
        if (bytes < end) take_frames(connection, bytes, end);
        if ((size_t)count < sizeof received) return;
    }
}

void connection_ready(Connection *connection, bool readable, bool writable) {
    if (connection->state == CONNECTING && writable) return upgrade(connection);
    if (connection->state == CLOSED || connection->state == CONNECTING) return;
    if (readable) receive(connection);
    if (writable && connection->state == OPEN) flush(connection);
}
