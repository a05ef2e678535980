/* Preloaded into a program: reads of the file that BAD_SECTOR names fail with EIO, as those of a disk do that lost it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int is_bad(int fd) {
    char link[64], path[4096];
    const char *bad = getenv("BAD_SECTOR");
    if (!bad) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strcmp(path, bad) == 0;
}

ssize_t pread64(int fd, void *to, size_t length, off64_t at) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pread64");
    if (is_bad(fd)) { errno = EIO; return -1; }
    return real(fd, to, length, at);
}

ssize_t read(int fd, void *to, size_t length) {
    static ssize_t (*real)(int, void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "read");
    if (is_bad(fd)) { errno = EIO; return -1; }
    return real(fd, to, length);
}
