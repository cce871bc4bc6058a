// What `mayfly run` needs of the kernel: namespaces, and a process 1 that keeps the command.
//
// Both must be done while the process has one thread: unshare(2) refuses a user namespace to a
// program with more, and a fork later would copy the page tables of the whole file system.
#ifndef CMEM_SCRATCH_H
#define CMEM_SCRATCH_H

#include "cmem_process.h"

// Where entering the namespaces failed.
enum cmem_space {
    CMEM_SPACE_ENTERED = 0,
    CMEM_SPACE_USER,  // unshare(2) with CLONE_NEWUSER
    CMEM_SPACE_MAP,   // uid_map, gid_map, setgroups
    CMEM_SPACE_MOUNT, // unshare(2) with CLONE_NEWNS, or keeping mounts inside
};

// Moves this process into a mount namespace of its own, from which no mount gets out; with user
// set into a user namespace first, in which it has its own user and group as before. Returns where
// it failed, with the errno in *error.
enum cmem_space cmem_enter_space(int user, int *error);

// The keeper's end of the story. A keeper is process 1 of a pid namespace: what runs in there ends
// with it, and it ends with the process that started it, whatever ends that.
struct cmem_keeper {
    int process; // 0 when it was not started, error says why
    int error;
    int orders;  // written: enum cmem_order, or the number of a signal for the command
    int reports; // read: struct cmem_report
};

enum cmem_order {
    CMEM_ORDER_START = 128, // run the command; a report of its start follows
    CMEM_ORDER_CLEAR,       // kill everything but the keeper; a report follows when it is gone
    CMEM_ORDER_KEEP,        // run the second command; a report of its start and one of its end
};

struct cmem_report {
    enum cmem_report_kind {
        CMEM_REPORT_STARTED = 1,
        CMEM_REPORT_ENDED, // status is wait(2)'s
        CMEM_REPORT_CLEAR,
    } kind;
    int status;
    struct cmem_started started; // process as numbered inside the namespace
};

// A command for later, which writes to one place. That place is made at the time, and it is an error
// when somebody else has made it by then.
struct cmem_second {
    char *const *arguments;  // NULL: there is no such command
    const char *file;        // to make, and to be its standard output; or NULL
    const char *new_folder;  // to make, and to be its working directory; or NULL
    int folder;              // an open one to be its working directory; or -1
};

// Starts a keeper for a command, to be run in directory with mask as its sigset_t, and for a second
// one. It waits for its orders; closing them ends it and all that it keeps.
struct cmem_keeper cmem_start_keeper(const char *directory, char *const command[],
                                     struct cmem_second second, char *const environment[],
                                     const void *mask);

#endif
