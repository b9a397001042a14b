// What Swift cannot say by itself: macros, variadic functions, thread-locals and Linux's epoll.
// Everything here is a thin name for one system call; the decisions are made in Swift.
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/// The event loop that owns the calling thread, or NULL. A thread-local, not `pthread_self()`: the Swift
/// optimiser may reuse the latter's answer across an `await`, after which the thread can be another one.
void *csystem_current_loop(void);
void csystem_set_current_loop(void *loop);

/// Starts a detached thread that calls `body(context)`. Returns 0 or an error number.
int csystem_start_thread(const char *name, void (*body)(void *), void *context);

static inline int csystem_errno(void) { return errno; }

/// CLOCK_MONOTONIC and the time since 1970, in nanoseconds.
static inline int64_t csystem_nanoseconds(bool wall) {
    struct timespec t;
    clock_gettime(wall ? CLOCK_REALTIME : CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/// A non-blocking, close-on-exec TCP socket that raises no SIGPIPE, or -1.
int csystem_tcp_socket(int family);
/// Accepts one connection as such a socket, or -1.
int csystem_accept(int listener, struct sockaddr_storage *address, socklen_t *length);

/// `sendmsg` of up to `count` pieces without SIGPIPE.
static inline ssize_t csystem_send(int fd, struct iovec *pieces, int count) {
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
#ifdef MSG_NOSIGNAL
    return sendmsg(fd, &message, MSG_NOSIGNAL);
#else
    return sendmsg(fd, &message, 0);
#endif
}

/// How much freed memory each thread keeps, in bytes, and from which size on memory is mapped by itself. glibc only.
void csystem_keep_freed_memory(int kept, int mapped);

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>

/// `epoll_event` is a packed struct that Swift imports badly: these read and write it.
static inline int csystem_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    return epoll_ctl(epoll, operation, fd, &event);
}
static inline uint64_t csystem_epoll_token(const struct epoll_event *events, int i) { return events[i].data.u64; }
static inline uint32_t csystem_epoll_events(const struct epoll_event *events, int i) { return events[i].events; }
#else
#include <sys/event.h>
#endif
