#include "cmem_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

_Static_assert(CMEM_O_TMPFILE == O_TMPFILE, "O_TMPFILE");
_Static_assert(CMEM_O_PATH == O_PATH, "O_PATH");

int cmem_is_in_procfs(int file) {
    struct statfs status;
    return fstatfs(file, &status) == 0 && status.f_type == PROC_SUPER_MAGIC;
}

int cmem_open_direct(int directory, const char *name) {
    int file = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0644);
    return file < 0 ? -errno : file;
}

int cmem_ask_attribute(int file, const char *name) {
    char value;
    return fgetxattr(file, name, &value, sizeof value) < 0 && errno != ERANGE ? errno : 0;
}
