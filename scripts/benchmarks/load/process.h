// What another process costs.
#ifndef PROCESS_H
#define PROCESS_H
#include <sys/types.h>

/// CPU time, in seconds, that the living threads of a process have used.
double process_cpu(pid_t pid);

/// Resident memory in KiB, without what the kernel keeps for its sockets.
double process_memory(pid_t pid);

/// CPU time, in seconds, of this process.
double own_cpu(void);

#endif
