#include "poller.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { max_events = 1024 };
static int poller;

static void must(bool held, const char *what) {
    if (held) return;
    perror(what);
    exit(1);
}

#ifdef __APPLE__
#include <sys/event.h>

void poller_open(void) { must((poller = kqueue()) >= 0, "kqueue"); }

void poller_add(int fd, void *owner) {
    struct kevent changes[2];
    EV_SET(&changes[0], fd, EVFILT_READ, EV_ADD, 0, 0, owner);
    EV_SET(&changes[1], fd, EVFILT_WRITE, EV_ADD, 0, 0, owner);
    must(kevent(poller, changes, 2, NULL, 0, NULL) == 0, "kevent");
}

void poller_change(int fd, void *owner, bool writing) {
    struct kevent change;
    EV_SET(&change, fd, EVFILT_WRITE, writing ? EV_ADD : EV_DELETE, 0, 0, owner);
    must(kevent(poller, &change, 1, NULL, 0, NULL) == 0, "kevent");
}

int poller_wait(Readiness *ready, int capacity, int milliseconds) {
    struct kevent events[max_events];
    struct timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    int count = kevent(poller, NULL, 0, events, capacity < max_events ? capacity : max_events, &limit);
    for (int i = 0; i < count; i++)
        ready[i] = (Readiness){events[i].udata, events[i].filter == EVFILT_READ, events[i].filter == EVFILT_WRITE};
    return count;
}

#else
#include <sys/epoll.h>

void poller_open(void) { must((poller = epoll_create1(EPOLL_CLOEXEC)) >= 0, "epoll_create1"); }

static void control(int operation, int fd, void *owner, bool writing) {
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = owner};
    must(epoll_ctl(poller, operation, fd, &event) == 0, "epoll_ctl");
}

void poller_add(int fd, void *owner) { control(EPOLL_CTL_ADD, fd, owner, true); }

void poller_change(int fd, void *owner, bool writing) { control(EPOLL_CTL_MOD, fd, owner, writing); }

int poller_wait(Readiness *ready, int capacity, int milliseconds) {
    struct epoll_event events[max_events];
    int count = epoll_wait(poller, events, capacity < max_events ? capacity : max_events, milliseconds);
    for (int i = 0; i < count; i++)
        ready[i] = (Readiness){
            events[i].data.ptr,
            events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR),
            events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR),
        };
    return count;
}

#endif
