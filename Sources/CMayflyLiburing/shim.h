// liburing, and the ring as a queue thread sees it.
//
// Two headers go first, because Clang refuses two modules with different views of one type. libc's
// fixes the feature macros as SwiftGlibc has them (liburing.h would define _XOPEN_SOURCE); the
// kernel's io_uring.h is the one that swift-system's module has, and its guard keeps liburing's
// copy out.
#include <sys/types.h>
#include <linux/io_uring.h>
#include <liburing.h>
#include "clu_ring.h"
