#include "csys_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int csys_pin_to_cpu(unsigned cpu) {
    // As long as the number takes: cpu_set_t ends with CPU 1,023.
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    if (!set) return ENOMEM;
    size_t bytes = CPU_ALLOC_SIZE(cpu + 1);
    CPU_ZERO_S(bytes, set);
    CPU_SET_S(cpu, bytes, set);
    int code = pthread_setaffinity_np(pthread_self(), bytes, set);
    CPU_FREE(set);
    return code;
}

void csys_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

void csys_quiet_thread(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    // No lower priority: a thread of nice 19 takes seconds to die on a busy machine, and until it
    // has, a killed process keeps its descriptors, and /dev/fuse among them its clients waiting.
    struct sched_param normal = {0};
    sched_setscheduler(0, SCHED_BATCH, &normal);
}

// A small file of a thread's, as a string. Returns 0, or -1 where there is none.
static int read_task_file(int32_t thread, const char *name, char *line, size_t capacity) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", thread, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    ssize_t count = read(file, line, capacity - 1);
    close(file);
    line[count < 0 ? 0 : count] = 0;
    return count > 0 ? 0 : -1;
}

// Whether a thread sleeps until it is woken: proc_pid_stat(5), state S.
static int is_asleep(int32_t thread) {
    char line[256];
    if (read_task_file(thread, "stat", line, sizeof line) != 0) return -1;
    // The name, in brackets, may hold brackets.
    const char *end = strrchr(line, ')');
    return !end || end[1] != ' ' ? -1 : end[2] == 'S';
}

int csys_waits_for_requests(int32_t thread) {
    char line[256];
    if (read_task_file(thread, "syscall", line, sizeof line) != 0) return is_asleep(thread);
    char *end;
    long number = strtol(line, &end, 10);
    // "running", and -1 for a thread that is in no call.
    if (end == line) return 0;
    return number == SYS_io_uring_enter || number == SYS_read || number == SYS_ppoll
#ifdef SYS_poll
           || number == SYS_poll
#endif
        ;
}
