#include "csys_library.h"

#include <dlfcn.h>
#include <stdio.h>

int csys_load_library(const char *const *files, const char *const *names, void *table, char *why,
                      size_t capacity) {
    void *library = NULL;
    for (size_t i = 0; files[i] && !library; i++) {
        library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
        // Of the first: the others are there in its place.
        if (!library && i == 0 && why) snprintf(why, capacity, "%s", dlerror());
    }
    if (!library) return -1;
    // As dlsym(3) says: an object and a function have pointers of one form.
    void **pointers = table;
    for (size_t i = 0; names[i]; i++) {
        pointers[i] = dlsym(library, names[i]);
        if (!pointers[i]) {
            if (why) snprintf(why, capacity, "it lacks %s", names[i]);
            return -1;
        }
    }
    return 0;
}
