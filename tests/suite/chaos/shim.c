/*
 * What may be wrong with a machine, for one daemon: the disk beneath its spool
 * is full or slow, its wall clock jumps. machine.rs compiles this, loads it into
 * the daemon with LD_PRELOAD, and gives orders through a file that is mapped here.
 *
 * Calls go to the kernel by syscall(), so that nothing has to be looked up first.
 * Waiting is not touched: all of it goes by the monotonic clock.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* As machine.rs has it: orders, then how often each was felt. */
struct control {
    _Atomic int64_t room;          /* bytes that the disk still takes; negative: no end */
    _Atomic int64_t slow_millis;   /* before each write and each sync */
    _Atomic int64_t clock_seconds; /* added to the wall clock */
    _Atomic int64_t refused;
    _Atomic int64_t slowed;
    _Atomic int64_t shifted;
};

static struct control *control;
static const char *spool;
/* Whether there is something that a sync has to find room for. */
static _Atomic int unsynced;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_CONTROL");
    spool = getenv("CHAOS_SPOOL");
    if (!path || !spool) return;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) abort();
    control = map;
}

static int under_spool(const char *path) {
    size_t len = strlen(spool);
    return strncmp(path, spool, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static int of_spool(int fd) {
    char link[32], path[PATH_MAX];
    if (!control) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return 0;
    path[len] = '\0';
    return under_spool(path);
}

static void wait_for_disk(void) {
    int64_t millis = control->slow_millis;
    if (millis <= 0) return;
    control->slowed++;
    struct timespec pause = {millis / 1000, millis % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static int no_space(void) {
    control->refused++;
    errno = ENOSPC;
    return -1;
}

/* Takes up to so much of what room there is; a negative number gives it back. */
static int64_t take(int64_t wanted) {
    int64_t room = control->room, taken;
    do {
        if (room < 0) return wanted;
        taken = wanted < room ? wanted : room;
    } while (!atomic_compare_exchange_weak(&control->room, &room, room - taken));
    return taken;
}

/* What does not fit whole is written in part, and only the next call fails. */
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    if (of_spool(fd)) {
        wait_for_disk();
        len = take(len);
        if (len == 0) return no_space();
        unsynced = 1;
    }
    return syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) {
    return pwrite64(fd, bytes, len, at);
}

int ftruncate64(int fd, off64_t len) {
    struct stat before;
    int counts = of_spool(fd) && fstat(fd, &before) == 0;
    int result = syscall(SYS_ftruncate, fd, len);
    if (result == 0 && counts) take(len - before.st_size);
    return result;
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

/* Some file systems look for room no earlier. */
int fdatasync(int fd) {
    if (of_spool(fd)) {
        wait_for_disk();
        if (atomic_exchange(&unsynced, 0) && control->room == 0) return no_space();
    }
    return syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    if (of_spool(fd)) wait_for_disk();
    return syscall(SYS_fsync, fd);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if (control && flags & O_CREAT && under_spool(path) && control->room == 0 && access(path, F_OK) != 0)
        return no_space();
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t seconds = control->clock_seconds;
        if (seconds) control->shifted++;
        now->tv_sec += seconds;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
