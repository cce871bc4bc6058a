#include "csys_privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int csys_keep_capabilities(uint64_t keep) {
    // The bounding set first: it takes CAP_SETPCAP, which goes with the rest.
    for (unsigned number = 0; number < 64; number++) {
        if (keep >> number & 1) continue;
        if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) != 1) continue;
        prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0) return errno;
    for (int half = 0; half < 2; half++) {
        uint32_t kept = data[half].permitted & (uint32_t)(keep >> (32 * half));
        data[half].permitted = kept;
        data[half].effective = kept;
        data[half].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) != 0 ? errno : 0;
}

int csys_allow_ordinary_scheduling(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NICE, &limit) != 0) return errno;
    if (limit.rlim_cur >= 20) return 0;
    limit.rlim_cur = 20;
    if (limit.rlim_max < 20) limit.rlim_max = 20;
    return setrlimit(RLIMIT_NICE, &limit) != 0 ? errno : 0;
}

int csys_close_up(void) {
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) return errno;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ? errno : 0;
}

int csys_reaches_with(uint64_t capabilities, const char *path) {
    char folder[PATH_MAX];
    if (strlen(path) >= sizeof folder) return 0;
    strcpy(folder, path);
    char *slash = strrchr(folder, '/');
    if (!slash) return 1;
    slash[slash == folder ? 1 : 0] = 0;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2], less[2];
    if (syscall(SYS_capget, &header, data) != 0) return 0;
    memcpy(less, data, sizeof less);
    less[0].effective &= (uint32_t)capabilities;
    less[1].effective &= (uint32_t)(capabilities >> 32);
    if (syscall(SYS_capset, &header, less) != 0) return 0;
    // The system call itself, for a library may reckon with the ids and modes alone.
    int reached = syscall(439 /* faccessat2 */, AT_FDCWD, folder, X_OK, AT_EACCESS) == 0;
    return syscall(SYS_capset, &header, data) == 0 && reached;
}
