#include "carc_library.h"

#include "csys_library.h"

#include <errno.h>
#include <locale.h>
#include <pthread.h>

#ifdef CARC_LINKED

#define CARC_ADDRESS(name) .name = name,
struct carc_library carc = {CARC_FUNCTIONS(CARC_ADDRESS)};

int carc_load(void) { return 0; }

#else

struct carc_library carc;

static int is_loaded;

static void load(void) {
    // The version that the headers are of: its functions' types do not change within it.
    static const char *const files[] = {"libarchive.so.13", NULL};
    static const char *const names[] = {CARC_FUNCTIONS(CSYS_FUNCTION_NAME) NULL};
    is_loaded = csys_load_library(files, names, &carc, NULL, 0) == 0;
}

int carc_load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (!is_loaded) errno = ELIBACC;
    return is_loaded ? 0 : -1;
}

#endif

void carc_use_locale(int is_utf8) {
    static locale_t locales[2];
    if (!locales[is_utf8])
        locales[is_utf8] = newlocale(LC_CTYPE_MASK, is_utf8 ? "C.UTF-8" : "C", (locale_t)0);
    if (locales[is_utf8]) uselocale(locales[is_utf8]);
}
