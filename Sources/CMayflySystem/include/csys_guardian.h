// The guardian: a process that holds the memory of a mount, starts its server, and starts it again when it
// dies.
#ifndef CSYS_GUARDIAN_H
#define CSYS_GUARDIAN_H

#include <stdint.h>

// The exit status of a program that was asked whether it can guard a memory, and can.
enum { CSYS_CAN_GUARD = 64 };

struct csys_guarded {
    char *const *first; // arguments of the first server
    char *const *again; // of every other, which begins with what the memory holds
    char *const *environment;
    const void *mask;  // sigset_t of the servers
    int memory;        // the memory file
    int memory_target; // the number that servers have it on
    int ready_target;  // the number on which servers say that they are ready
    int told;          // gets a byte when the first server is ready, and then the guardian is in the background; -1
    int most_deaths;   // within seconds, after which no server is started any more
    int seconds;
    // Another program may become the guardian (SIGUSR1 of the process that runs it): its arguments, which say
    // that it has the memory on memory_next, and the program before it on before_next.
    char *const *next;
    char *const *probe; // asks whether it can, and ends with CSYS_CAN_GUARD
    int memory_next;
    int before_next;
    // The arguments of the program before this one, which is open on before: it is run again where this one
    // can serve nothing. NULL and -1 where there is none.
    char *const *back;
    int before;
    // A server that is there already and not a child of this process; 0 where one is to be started.
    int adopted;
    // Where a server says in the memory file that it ends by itself, in bytes before the file's end.
    long ended_before_end;
};

// Starts servers until one ends by itself, and returns its exit status. A signal that ends a process is
// passed on to the server. Where no server can be had any more, it holds the memory until such a signal
// comes, and returns 2. Allocates nothing. With first NULL the memory holds something from the beginning.
//
// SIGUSR1 replaces the program: the server is asked to end (SIGUSR2), and when it has, this process
// executes the program that the sender runs.
int csys_guard(const struct csys_guarded *plan);

// Asks a guardian to become this program (SIGUSR1), by a process that is to be killed when it has. That process
// has no more than the capabilities: a guardian may look only at who has no more than itself. Source: ptrace(2),
// "Ptrace access mode checking". Returns its process, or -1 with errno.
int csys_ask_guardian(int guardian, uint64_t capabilities);

// Starts this program with arguments as a process of its own, with the descriptor memory as number target, and
// all signals blocked. Returns its process, or -1 with errno.
int csys_start_guardian(char *const arguments[], int memory, int target);

#endif
