// A namespace to mount in, for test processes of users who are not root.
//
// unshare(2) refuses a user namespace to a process with more than one thread, and a test runner has
// many before it calls any test. So this is done by a constructor, before main, where the environment
// asks for it.

#include <cmem_capability.h>
#include <csys_scratch.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CMayflyTesting.h"

enum { ADMINISTRATE = 21 }; // CAP_SYS_ADMIN

static enum cmt_space space;

enum cmt_space cmt_space(void) { return space; }

static bool has_device(void) { return access("/dev/fuse", R_OK | W_OK) == 0; }

static bool may_administrate(void) {
    return cmem_has_capability((uint32_t)getpid(), ADMINISTRATE);
}

bool cmt_may_mount(void) { return may_administrate() && has_device(); }

// Whether namespaces can be entered whole: some systems let a user have one in which nothing is
// permitted, and this process could not get back out of it.
static bool can_enter(void) {
    pid_t child = fork();
    if (child == 0) {
        int error;
        _exit(csys_enter_space(1, &error) == CSYS_SPACE_ENTERED && may_administrate() ? 0 : 1);
    }
    int status = 1;
    if (child < 0) return false;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return status == 0;
}

__attribute__((constructor)) static void enter(void) {
    if (may_administrate() || !has_device()) return;
    const char *wish = getenv("MAYFLY_TESTING_NAMESPACE");
    if (!wish || strcmp(wish, "1") != 0) {
        space = CMT_SPACE_NOT_ASKED_FOR;
        return;
    }
    int error;
    space = can_enter() && csys_enter_space(1, &error) == CSYS_SPACE_ENTERED
                ? CMT_SPACE_ENTERED
                : CMT_SPACE_FORBIDDEN;
}
