// What of files the Glibc module leaves out.
#ifndef CMEM_FILES_H
#define CMEM_FILES_H

// Opens a file for reading and writing past the page cache: O_DIRECT. Makes it where there is none.
// Returns the descriptor, or minus the errno: EINVAL where the file system cannot do that.
// Source: open(2).
int cmem_open_direct(int directory, const char *name);

// Asks a file for an extended attribute. Returns 0 when the file has it, or the errno: ENODATA when
// it has not, EOPNOTSUPP where there are none.
// Source: fgetxattr(2).
int cmem_ask_attribute(int file, const char *name);

#endif
