#include "cmem_capability.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Reads /proc/PID/status; an empty text when it cannot be had.
static void read_status(uint32_t pid, char *text, size_t bytes) {
    text[0] = 0;
    if (pid == 0) return;
    snprintf(text, bytes, "/proc/%u/status", pid);
    int file = open(text, O_RDONLY | O_CLOEXEC);
    text[0] = 0;
    if (file < 0) return;
    size_t filled = 0;
    ssize_t count;
    // Many groups make it longer than one read(2) may give.
    while (filled < bytes - 1 && (count = read(file, text + filled, bytes - 1 - filled)) > 0)
        filled += (size_t)count;
    close(file);
    text[filled] = 0;
}

static bool has_capability(const char *status, uint32_t capability) {
    const char *line = strstr(status, "\nCapEff:");
    return line && capability < 64 && (strtoull(line + 8, NULL, 16) >> capability & 1);
}

bool cmem_has_capability(uint32_t pid, uint32_t capability) {
    char text[4096];
    read_status(pid, text, sizeof text);
    return has_capability(text, capability);
}

bool cmem_lacks_group(uint32_t pid, uint32_t group, uint32_t capability) {
    char text[16384];
    read_status(pid, text, sizeof text);
    const char *line = strstr(text, "\nGid:");
    const char *groups = strstr(text, "\nGroups:");
    if (!line || !groups) return false;
    // Real, effective, saved, and the one that counts here: that of file system access.
    unsigned real, effective, saved, access;
    if (sscanf(line + 5, "%u %u %u %u", &real, &effective, &saved, &access) != 4) return false;
    if (access == group) return false;
    const char *at = groups + 8;
    while (*at && *at != '\n') {
        char *end;
        unsigned long one = strtoul(at, &end, 10);
        if (end == at) break;
        if (one == group) return false;
        at = end;
        while (*at == ' ' || *at == '\t') at++;
    }
    return !has_capability(text, capability);
}
