// What the differential fuzz needs beside the POSIX suite's calls. The answers are of the same form.
#ifndef CPOSIX_DIFFERENTIAL_H
#define CPOSIX_DIFFERENTIAL_H

// Takes another effective identity, from whichever this thread has; its saved one stays root's.
int64_t cpd_become(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t count);
// Adds one capability to the effective ones, or takes it away where it is among them; a number below 0
// makes all permitted ones effective.
int64_t cpd_change_capability(int32_t capability);
// Makes a mount nodev and nosuid, as Mayfly's are.
int64_t cpd_remount_nodev(const void *path);
// Opens, gets or sets the flags of chattr(1), and closes.
int64_t cpd_path_get_flags(const void *path, uint32_t *flags);
int64_t cpd_path_set_flags(const void *path, uint32_t flags);
// Writes into a page that holds data through a shared mapping, and waits for the write-back. The kernel
// is made to forget the page first: of one that it has, nobody could tell whether the store came before
// the times of the file were set (Docs/Deviations.md).
// -ENODATA when the page is a hole, as a fault there may raise SIGBUS on a full file system.
int64_t cpd_map_write(int32_t fd, const void *source, size_t count, int64_t offset);
// Drops what the kernel caches of a file and need not keep.
int64_t cpd_evict(int32_t fd);
// EPERM and so on; null for what is no errno.
const char *cpd_error_name(int32_t error);

#endif
