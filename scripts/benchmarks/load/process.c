#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#ifdef __APPLE__
#include <libproc.h>
#include <mach/mach_time.h>

static struct rusage_info_v2 usage_of(pid_t pid) {
    struct rusage_info_v2 usage;
    memset(&usage, 0, sizeof usage);
    proc_pid_rusage(pid, RUSAGE_INFO_V2, (rusage_info_t *)&usage);
    return usage;
}

double process_cpu(pid_t pid) {
    struct rusage_info_v2 usage = usage_of(pid);
    mach_timebase_info_data_t base;
    mach_timebase_info(&base);
    return (double)(usage.ri_user_time + usage.ri_system_time) * base.numer / base.denom / 1e9;
}

double process_memory(pid_t pid) { return (double)usage_of(pid).ri_phys_footprint / 1024; }

#else

// The scheduler's own account is in nanoseconds; /proc/PID/stat counts in hundredths of a second.
double process_cpu(pid_t pid) {
    char path[400];
    double seconds = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    if (!tasks) return 0;
    for (struct dirent *task; (task = readdir(tasks));) {
        unsigned long long nanoseconds;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, task->d_name);
        FILE *file = task->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%llu", &nanoseconds) == 1) seconds += (double)nanoseconds / 1e9;
        fclose(file);
    }
    closedir(tasks);
    return seconds;
}

double process_memory(pid_t pid) {
    char line[200];
    double kib = 0;
    snprintf(line, sizeof line, "/proc/%d/status", (int)pid);
    FILE *file = fopen(line, "r");
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %lf", &kib);
    fclose(file);
    return kib;
}

#endif

double own_cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
