#include "cps_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

// How a child ended: 0, or minus the answer.
static int64_t ended(pid_t child) {
    int status;
    pid_t done;
    do done = waitpid(child, &status, 0);
    while (done < 0 && errno == EINTR);
    if (done < 0) return -errno;
    if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGKILL ? -EINTR : -EPROTO;
    return -WEXITSTATUS(status);
}

int64_t cps_kill_after(int64_t nanoseconds, int32_t (*body)(void *), void *context) {
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(-body(context) & 0xFF);
    }
    struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    nanosleep(&time, NULL);
    kill(child, SIGKILL);
    int64_t end = ended(child);
    return end == -EINTR ? 1 : end;
}

#if defined(__x86_64__)

enum { PAGE = 4096, TRAP_FLAG = 0x100, MOST_PAGES = 4, PATIENCE_MS = 60000 };

// Of the child alone.
static const struct cps_memory *watched;
static int watched_count;
static uintptr_t open_pages[MOST_PAGES];
static int open_count;
static uint64_t first_address;
static int to_parent, from_parent;

static int is_watched(uintptr_t address) {
    for (int i = 0; i < watched_count; i++) {
        uintptr_t start = (uintptr_t)watched[i].start;
        if (address >= start && address < start + watched[i].bytes) return 1;
    }
    return 0;
}

static void on_store(int number, siginfo_t *info, void *context) {
    uintptr_t address = (uintptr_t)info->si_addr;
    if (!is_watched(address) || open_count == MOST_PAGES) _exit(EFAULT);
    if (open_count == 0) first_address = address;
    uintptr_t page = address & ~(uintptr_t)(PAGE - 1);
    open_pages[open_count++] = page;
    if (mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE) != 0) _exit(errno);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
    (void)number;
}

static void on_step(int number, siginfo_t *info, void *context) {
    for (int i = 0; i < open_count; i++) mprotect((void *)open_pages[i], PAGE, PROT_READ);
    open_count = 0;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    char answer;
    if (write(to_parent, &first_address, 8) != 8 || read(from_parent, &answer, 1) != 1)
        _exit(EPIPE);
    (void)number;
    (void)info;
}

static void step(int32_t (*body)(void *), void *context) {
    struct sigaction store = {.sa_sigaction = on_store, .sa_flags = SA_SIGINFO};
    struct sigaction trap = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSEGV, &store, NULL) != 0 || sigaction(SIGTRAP, &trap, NULL) != 0)
        _exit(errno);
    for (int i = 0; i < watched_count; i++)
        if (mprotect(watched[i].start, watched[i].bytes, PROT_READ) != 0) _exit(errno);
    _exit(-body(context) & 0xFF);
}

int64_t cps_step_stores(const struct cps_memory *areas, int32_t count, int32_t (*body)(void *),
                        int32_t (*look)(void *, uint64_t), void *context) {
    int up[2], down[2];
    if (pipe2(up, O_CLOEXEC) != 0) return -errno;
    if (pipe2(down, O_CLOEXEC) != 0) {
        int error = errno;
        close(up[0]);
        close(up[1]);
        return -error;
    }
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(up[0]);
        close(down[1]);
        to_parent = up[1];
        from_parent = down[0];
        watched = areas;
        watched_count = count;
        step(body, context);
    }
    close(up[1]);
    close(down[0]);
    int64_t steps = 0;
    int is_killed = 0;
    while (child > 0) {
        struct pollfd wait = {.fd = up[0], .events = POLLIN};
        uint64_t address;
        if (poll(&wait, 1, PATIENCE_MS) != 1) {
            kill(child, SIGKILL);
            break;
        }
        if (read(up[0], &address, 8) != 8) break;
        steps++;
        is_killed = look(context, address) != 0;
        if (is_killed || write(down[1], "", 1) != 1) break;
    }
    if (is_killed) kill(child, SIGKILL);
    close(up[0]);
    close(down[1]);
    if (child < 0) return -EAGAIN;
    int64_t end = ended(child);
    return is_killed || end == 0 ? steps : end;
}

#else

int64_t cps_step_stores(const struct cps_memory *areas, int32_t count, int32_t (*body)(void *),
                        int32_t (*look)(void *, uint64_t), void *context) {
    return -ENOTSUP;
}

#endif
