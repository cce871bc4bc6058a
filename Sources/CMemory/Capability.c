#include "cmem_capability.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cmem_has_capability(uint32_t pid, uint32_t capability) {
    char text[4096];
    if (pid == 0 || capability > 63) return false;
    snprintf(text, sizeof text, "/proc/%u/status", pid);
    int file = open(text, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0) return false;
    text[count] = 0;
    const char *line = strstr(text, "\nCapEff:");
    if (!line) return false;
    return strtoull(line + 8, NULL, 16) >> capability & 1;
}
