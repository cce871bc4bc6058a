// Starting processes, where Swift cannot: between vfork(2) and execve(2) no Swift code may run, and
// what posix_spawn(3) needs here are GNU extensions that the Glibc module leaves out.
#ifndef CSYS_PROCESS_H
#define CSYS_PROCESS_H

// What became of a start: process is 0 when it failed, and then stage and error say where and why.
struct csys_started {
    int process;
    int error;
    enum csys_stage {
        CSYS_STARTED = 0,
        CSYS_AT_FORK,
        CSYS_AT_DIRECTORY,
        CSYS_AT_EXECUTE,
        CSYS_AT_OUTPUT, // what the second command of a keeper writes
    } stage;
};

// Starts arguments[0], looked for in PATH, in the given directory and with the given sigset_t as
// its mask; with the place's open folder and output, where they are not -1, as its working directory and
// its standard output, and with the descriptor inherited, where it is not -1, open. With foreground it has a
// process group of its own, which the terminal of its standard input is given to. The process is killed
// when the calling thread ends, so call it on one that stays.
struct csys_place {
    int folder;
    int output;
    int inherited;
    int foreground;
};
struct csys_started csys_start(const char *directory, char *const arguments[],
                               char *const environment[], const void *mask,
                               struct csys_place place);

// Forks a process that goes on as a server, in a process group of its own, and in a session of its own if
// apart is not 0, with the given sigset_t as its mask, no input, our output, the descriptor ready as number
// ready_target, the descriptor kept, unless it is -1, as the number after that, and no other. The caller has
// one thread. Returns 0 in the server, its id in the caller, or -1 with errno.
int csys_fork_server(const void *mask, int ready, int ready_target, int kept, int apart);

// Forks a process that nobody waits for, in a session of its own, without streams, with the descriptor kept as number
// target and no other above that. The caller has one thread. Returns 0 in the new process, 1 in the caller, or -1
// with errno.
int csys_fork_apart(int kept, int target);

// A descriptor of a process, readable when that has ended; -1 with errno when there is none. Source:
// pidfd_open(2).
int csys_open_process(int process);

// Gives up the controlling terminal, if there is one, for a process that leads no session: nothing that
// happens to the terminal reaches it, and it may print there to the end. Source: ioctl_tty(2).
void csys_leave_terminal(void);

// A copy of this process: 0 in the copy, its number in this one, or -1 with errno. For a process with one
// thread: fork(2).
int csys_fork(void);

// Gives the terminal of the standard input to the process group of this process, which need not have it.
void csys_take_terminal(void);

// Asks the file system at path for its statistics, in a process of its own that nobody waits for: what
// waits for a server that hangs can neither be killed nor left behind by its process. Writes number
// and the errno, or 0, to report when there is an answer. Returns 0 or an errno.
struct csys_asked {
    int number;
    int error;
};
int csys_ask_apart(const char *path, int number, int report);

// A pipe whose two ends are closed on execve: pipe2(2). Returns 0, or -1 with errno.
int csys_pipe(int ends[2]);

// Names this process for ps(1) and top(1), at most 15 bytes; threads started later take it over.
void csys_name_process(const char *name);

// The arguments that this process was started with, ended by NULL. Swift reads them from /proc, which need
// not be there.
char **csys_arguments(void);

// Opens /dev/null, or where that cannot be done something that can neither be read nor written, as each
// of the descriptors 0, 1 and 2 that is closed: another file would get its number otherwise.
void csys_fill_standard_descriptors(void);

// Tells of something that nobody asked for: a line on the standard error, and one in the system's log.
// Source: syslog(3).
void csys_log(const char *line);

// A line on the standard error, with its level in front as the journal reads it, if that is not -1.
void csys_log_line(int level, const char *line);

// A line in the system's log, with a level of syslog(3).
void csys_log_system(int level, const char *line);

// The environment of this process: environ(7).
char **csys_environment(void);

#endif
