/* Loaded before libc: lets one system call fail in the process that arms it, and moves the wall clock.
 *
 * A call fails where its path (or the path of its descriptor) holds the given words, after `after` such calls,
 * `times` times. Children that are forked inherit what is armed; fault_disarm() ends it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char armed[16], words[200];
static int error_number;
static long left_over, left_to_fail, clock_offset_s;

void fault_arm(const char *call, int error, long after, long times, const char *path) {
    strncpy(words, path, sizeof words - 1);
    error_number = error, left_over = after, left_to_fail = times;
    strncpy(armed, call, sizeof armed - 1);
}
void fault_disarm(void) { armed[0] = 0; }
void fault_clock(long offset_s) { clock_offset_s = offset_s; }

static int due(const char *call, const char *path) {
    if (!armed[0] || strcmp(armed, call) || (words[0] && (!path || !strstr(path, words)))) return 0;
    if (left_over-- > 0) return 0;
    if (left_to_fail-- <= 0) return 0;
    errno = error_number;
    return 1;
}
static int due_fd(const char *call, int fd) {
    char link[40], path[512];
    if (!armed[0] || strcmp(armed, call)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return due(call, path);
}

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))
#define OPEN(name)                                                                         \
    int name(const char *path, int flags, ...) {                                           \
        va_list more;                                                                      \
        va_start(more, flags);                                                             \
        mode_t mode = va_arg(more, mode_t);                                                \
        va_end(more);                                                                      \
        if (due(flags & O_CREAT ? "create" : "open", path)) return -1;                     \
        return NEXT(name)(path, flags, mode);                                              \
    }
OPEN(open)
OPEN(open64)
int openat(int at, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    if (due(flags & O_CREAT ? "create" : "open", path)) return -1;
    return NEXT(openat)(at, path, flags, mode);
}
ssize_t write(int fd, const void *data, size_t size) {
    if (due_fd("write", fd)) return -1;
    return NEXT(write)(fd, data, size);
}
ssize_t read(int fd, void *data, size_t size) {
    if (due_fd("read", fd)) return -1;
    return NEXT(read)(fd, data, size);
}
int fsync(int fd) { return due_fd("fsync", fd) ? -1 : NEXT(fsync)(fd); }
int flock(int fd, int how) { return due_fd("flock", fd) ? -1 : NEXT(flock)(fd, how); }
int ftruncate(int fd, off_t size) { return due_fd("ftruncate", fd) ? -1 : NEXT(ftruncate)(fd, size); }
int rename(const char *a, const char *b) { return due("rename", b) ? -1 : NEXT(rename)(a, b); }
int renameat(int x, const char *a, int y, const char *b) {
    return due("rename", b) ? -1 : NEXT(renameat)(x, a, y, b);
}
int mkdir(const char *path, mode_t mode) { return due("mkdir", path) ? -1 : NEXT(mkdir)(path, mode); }
int unlink(const char *path) { return due("unlink", path) ? -1 : NEXT(unlink)(path); }
int pipe2(int ends[2], int flags) { return due("pipe", "") ? -1 : NEXT(pipe2)(ends, flags); }
int pipe(int ends[2]) { return due("pipe", "") ? -1 : NEXT(pipe)(ends); }
int socketpair(int d, int t, int p, int ends[2]) {
    return due("socketpair", "") ? -1 : NEXT(socketpair)(d, t, p, ends);
}
pid_t fork(void) { return due("fork", "") ? -1 : NEXT(fork)(); }
ssize_t send(int fd, const void *data, size_t size, int flags) {
    return due("send", "") ? -1 : NEXT(send)(fd, data, size, flags);
}
ssize_t recv(int fd, void *data, size_t size, int flags) {
    return due("recv", "") ? -1 : NEXT(recv)(fd, data, size, flags);
}
int clock_gettime(clockid_t which, struct timespec *now) {
    int done = NEXT(clock_gettime)(which, now);
    if (!done && which == CLOCK_REALTIME) now->tv_sec += clock_offset_s;
    return done;
}
