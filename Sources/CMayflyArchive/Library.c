#define CARC_LIBRARY_LOADS
#include "carc_library.h"

#ifndef CARC_LINKED

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

struct carc_library carc_library;

static int is_loaded;

static void load(void) {
    // The version that the headers are of: its functions' types do not change within it.
    void *handle = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!handle) return;
#define CARC_FIND(name) \
    if (!(carc_library.name = (__typeof__(name) *)dlsym(handle, #name))) return;
    CARC_FUNCTIONS(CARC_FIND)
#undef CARC_FIND
    is_loaded = 1;
}

int carc_library_load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (!is_loaded) errno = ELIBACC;
    return is_loaded ? 0 : -1;
}

#endif
