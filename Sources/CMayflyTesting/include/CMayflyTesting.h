// What mounting in a test process takes, and Swift cannot do: something before its first thread
// starts, and something after its end.
#ifndef CMAYFLYTESTING_H
#define CMAYFLYTESTING_H

#include <stdbool.h>

// How this process came to be where it is; decided before main.
enum cmt_space {
    CMT_SPACE_OUTER = 0, // may mount as it is, or may not at all
    CMT_SPACE_ENTERED,   // in a user and mount namespace of its own
    CMT_SPACE_FORBIDDEN, // /dev/fuse is open to it, and namespaces are not
    CMT_SPACE_NOT_ASKED_FOR, // MAYFLY_TESTING_NAMESPACE=1 would have it enter one
};

enum cmt_space cmt_space(void);

// Whether this process has what mount(2) asks for, and may open /dev/fuse.
bool cmt_may_mount(void);

// Has a folder cleared when this process is gone, however it ends: what is mounted on the folders
// in it is unmounted, they are removed with the files beside them, and then it is.
//
// To be called before there is much memory: the watcher is a fork and keeps copies of what changes.
// Returns 0, or an errno.
int cmt_watch(const char *folder);

#endif
