// What `mayfly run` needs of the kernel: namespaces, and a process 1 that keeps the command.
//
// Both must be done while the process has one thread: unshare(2) refuses a user namespace to a
// program with more, and a fork later would copy the page tables of the whole file system.
#ifndef CSYS_SCRATCH_H
#define CSYS_SCRATCH_H

#include "csys_process.h"

// Where entering the namespaces failed.
enum csys_space {
    CSYS_SPACE_ENTERED = 0,
    CSYS_SPACE_USER,  // unshare(2) with CLONE_NEWUSER
    CSYS_SPACE_MAP,   // uid_map, gid_map, setgroups
    CSYS_SPACE_MOUNT, // unshare(2) with CLONE_NEWNS, or keeping mounts inside
};

// Moves this process into a mount namespace of its own, from which no mount gets out; with user
// set into a user namespace first, in which it has its own user and group as before. Returns where
// it failed, with the errno in *error.
enum csys_space csys_enter_space(int user, int *error);

// The keeper's end of the story. A keeper is process 1 of a pid namespace: what runs in there ends
// with it, and it ends with the process that started it, whatever ends that.
struct csys_keeper {
    int process; // 0 when it was not started, error says why
    int error;
    int orders;  // written: enum csys_order, or the number of a signal for the command
    int reports; // read: struct csys_report
};

enum csys_order {
    CSYS_ORDER_START = 128, // run the command; a report of its start follows
    CSYS_ORDER_CLEAR,       // kill everything but the keeper; a report follows when it is gone
    CSYS_ORDER_KEEP,        // run the second command; a report of its start and one of its end
};

struct csys_report {
    enum csys_report_kind {
        CSYS_REPORT_STARTED = 1,
        CSYS_REPORT_ENDED, // status is wait(2)'s
        CSYS_REPORT_CLEAR,
    } kind;
    int status;
    struct csys_started started; // process as numbered inside the namespace
};

// A command for later, which writes to one place. That place is made at the time, and it is an error
// when somebody else has made it by then.
struct csys_second {
    char *const *arguments;  // NULL: there is no such command
    const char *file;        // to make, and to be its standard output; or NULL
    const char *new_folder;  // to make, and to be its working directory; or NULL
    int folder;              // an open one to be its working directory; or -1
};

// Starts a keeper for a command, to be run in directory with mask as its sigset_t, and for a second
// one. It waits for its orders; closing them ends it and all that it keeps. The command starts as place
// says, whose folder and output are -1.
struct csys_keeper csys_start_keeper(const char *directory, char *const command[],
                                     struct csys_second second, char *const environment[],
                                     const void *mask, struct csys_place place);

#endif
