#include "cmem_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

_Static_assert(CMEM_O_TMPFILE == O_TMPFILE, "O_TMPFILE");

int cmem_open_direct(int directory, const char *name) {
    int file = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0644);
    return file < 0 ? -errno : file;
}

int cmem_ask_attribute(int file, const char *name) {
    char value;
    return fgetxattr(file, name, &value, sizeof value) < 0 && errno != ERANGE ? errno : 0;
}
