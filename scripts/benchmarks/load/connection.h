// A WebSocket client that sends numbered messages of one size and knows every byte that must come back.
#ifndef CONNECTION_H
#define CONNECTION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { CONNECTING, UPGRADING, OPEN, CLOSING, CLOSED } State;

typedef struct {
    int fd;
    State state;
    bool writing;            // watched for writing
    uint32_t number;         // of the connection, in each message that it sends
    uint32_t sender;         // whose messages it receives: its own number in an echo
    uint64_t sent, received; // whole messages
    uint32_t due;            // messages still to be sent, one perhaps in part
    size_t due_offset;       // bytes of the first of them that are sent already
    uint64_t *sent_at;       // nanoseconds, a ring of `depth` for the messages under way
    uint64_t began;          // nanoseconds: when it started to connect
    // The frame that is coming in.
    uint8_t header[10];
    int header_length;
    bool in_payload;
    uint64_t frame_length, frame_offset, message_offset;
    uint8_t control[125];    // payload of the control frame that is coming in, or of the Ping to answer
    int pong_due;            // length of the Pong to send, or -1
    char *response;          // the server's handshake as far as it came, then NULL
    int response_length;
} Connection;

typedef struct {
    int port;
    const char *path;  // with one %u for the sender's number, if it holds any
    size_t size;       // payload bytes; at least 16
    uint32_t depth;    // messages under way, at most
    bool binary;
} Plan;

extern Plan plan;

/// Nanoseconds of a clock that only goes forward.
uint64_t now(void);

/// To be called once, when `plan` is complete.
void connections_prepare(void);

/// Starts to connect. `connection->number` and `sender` are set.
void connection_start(Connection *connection);

/// Sends so many messages more, now or as soon as the socket takes them.
void connection_send(Connection *connection, uint32_t count);

/// Starts the closing handshake.
void connection_close(Connection *connection);

/// Ends the connection with a reset, which leaves nothing in TIME_WAIT.
void connection_abort(Connection *connection);

/// Takes what a wait found.
void connection_ready(Connection *connection, bool readable, bool writable);

// What the program does when:
void on_open(Connection *connection);
/// `count` whole messages came, each verified.
void on_messages(Connection *connection, uint32_t count);
void on_closed(Connection *connection);

/// Says what went wrong and ends the program with status 1: a figure of a wrong answer is worth nothing.
_Noreturn void fail(const Connection *connection, const char *what);

#endif
