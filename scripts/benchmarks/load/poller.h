// Which sockets are ready: epoll on Linux, kqueue on Darwin.
#ifndef POLLER_H
#define POLLER_H
#include <stdbool.h>

typedef struct {
    void *owner;
    bool readable, writable;
} Readiness;

/// To be called once, before all else.
void poller_open(void);

/// Watches a new descriptor for reading and writing.
void poller_add(int fd, void *owner);

/// Watches for reading, and for writing if `writing`.
void poller_change(int fd, void *owner, bool writing);

/// Waits at most so many milliseconds; how many descriptors are ready.
int poller_wait(Readiness *ready, int capacity, int milliseconds);

#endif
