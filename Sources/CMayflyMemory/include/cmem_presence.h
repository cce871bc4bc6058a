// What has come so far of an image that is mounted before all of it is here. A table in memory that the
// process that brings the image and the server share: the first says what is here, the second what it waits for.
#ifndef CMEM_PRESENCE_H
#define CMEM_PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "CMayflyMemory.h"

struct cmem_presence;

// The error of a read of pages that are not here yet. No system call that the store makes returns it.
enum { CMEM_MISSING = 115 /* EINPROGRESS */ };

enum cmem_presence_state {
    // Content comes.
    CMEM_PRESENCE_COMING = 0,
    // The last request for content has failed; it is made again.
    CMEM_PRESENCE_AWAY = 1,
    // All is here.
    CMEM_PRESENCE_ALL = 2,
    // The process that brings the image is dead.
    CMEM_PRESENCE_ENDED = 3,
};

// Makes a table for so many files and runs. Returns a descriptor, or -1 with errno.
int cmem_presence_create(uint32_t files, uint32_t runs);

// Maps a table. NULL where the descriptor is none.
struct cmem_presence *cmem_presence_map(int descriptor);

// Ends the mapping.
void cmem_presence_unmap(struct cmem_presence *table);

// Fills the table, before it is shared. A file is here from the beginning where `is_here` says so; its runs follow
// each other in ascending order.
void cmem_presence_add_file(struct cmem_presence *table, bool is_here);
void cmem_presence_add_run(struct cmem_presence *table, uint64_t offset, uint64_t bytes);

// 0 where all bytes of a range are here, else CMEM_MISSING, and what lacks is wanted from here on.
CMEM_NO_LOCKS int cmem_presence_find(struct cmem_presence *table, uint32_t file, uint64_t offset,
                                     uint64_t bytes);

// Waits for a range. 0, or EIO where it does not come.
int cmem_presence_await(struct cmem_presence *table, uint32_t file, uint64_t offset, uint64_t bytes);

// Whether who waits since then has waited enough: nothing has come for the time that the table has.
CMEM_NO_LOCKS bool cmem_presence_is_overdue(const struct cmem_presence *table, uint64_t since);

// Whether all is here. A load.
CMEM_NO_LOCKS bool cmem_presence_is_complete(const struct cmem_presence *table);

// Whether a file is one that came, and what it was when it had got its name. False as long as it has none.
CMEM_NO_LOCKS bool cmem_presence_is_coming(const struct cmem_presence *table, uint32_t file);
CMEM_NO_LOCKS bool cmem_presence_named(const struct cmem_presence *table, uint32_t file,
                                       struct stat *status);

// What people are told.
struct cmem_presence_report {
    enum cmem_presence_state state;
    uint64_t here_bytes, total_bytes;
    // Nanoseconds since something has come.
    uint64_t silent;
    // Why the last request has failed.
    char reason[256];
};
void cmem_presence_report(const struct cmem_presence *table, struct cmem_presence_report *report);

// The rest is for the process that brings the image.

// The next run to bring, which nobody else gets: one that is wanted, else the first that lacks unless only wanted
// ones are asked for. -1 where there is none.
int64_t cmem_presence_claim(struct cmem_presence *table, bool wanted_only);
// It is here, or somebody is to try again.
void cmem_presence_arrived(struct cmem_presence *table, int64_t run);
void cmem_presence_give_back(struct cmem_presence *table, int64_t run);
// The number of the file of a run.
uint32_t cmem_presence_file(const struct cmem_presence *table, int64_t run);
// Runs of a file that are not here.
uint32_t cmem_presence_lacking(const struct cmem_presence *table, uint32_t file);
// Whether somebody waits at this moment.
bool cmem_presence_is_wanted(const struct cmem_presence *table);
// Something has come.
void cmem_presence_note_progress(struct cmem_presence *table);
// Requests fail for a reason, or NULL: they do not any more.
void cmem_presence_note_failure(struct cmem_presence *table, const char *reason);
// A file has its name, or never gets one where the descriptor is -1.
void cmem_presence_note_named(struct cmem_presence *table, uint32_t file, int descriptor);
void cmem_presence_note_complete(struct cmem_presence *table);
// Nanoseconds without anything after which who waits gets EIO.
void cmem_presence_set_patience(struct cmem_presence *table, uint64_t nanoseconds);
// The socket at whose other end the process is that brings the image: its end ends all hope.
void cmem_presence_set_peer(struct cmem_presence *table, int socket);
// Whether the process at the other end of a socket is gone.
bool cmem_presence_is_gone(int socket);

#endif
