// Libraries that are loaded when they are used: a mount need not wait for what it has no use for.
#ifndef CSYS_LIBRARY_H
#define CSYS_LIBRARY_H

#include <stddef.h>

// An element of a list of names, for a list of functions such as FUNCTIONS(each).
#define CSYS_FUNCTION_NAME(name) #name,

// Loads the first of `files` that can be loaded, and fills `table`, a struct of nothing but pointers to
// functions, in the order of `names`. Both lists end with NULL.
//
// Returns 0, or -1 with what is wrong in `why`, which may be NULL.
int csys_load_library(const char *const *files, const char *const *names, void *table, char *why,
                      size_t capacity);

#endif
