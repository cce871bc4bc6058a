// See include/cps_durability.h.
#include "CMayflyTestSupport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

int64_t cpp_pwrite(int32_t fd, const void *source, size_t count, int64_t offset, int32_t flags) {
    void *copy = NULL;
    if (posix_memalign(&copy, 4096, count ? count : 1) != 0) return -ENOMEM;
    memcpy(copy, source, count);
    struct iovec piece = {.iov_base = copy, .iov_len = count};
    ssize_t result = pwritev2(fd, &piece, 1, offset, flags);
    int64_t answer = result < 0 ? -errno : result;
    free(copy);
    return answer;
}

int64_t cpp_syncfs(int32_t fd) { return syncfs(fd) < 0 ? -errno : 0; }

int64_t cpp_write_back(int32_t fd) {
    unsigned flags =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    return sync_file_range(fd, 0, 0, flags) < 0 ? -errno : 0;
}
