/*
 * A wall clock that a test may set, for one process: loaded before the C library (LD_PRELOAD), it shifts what the
 * process is told by so many nanoseconds as stand in the file that WALL_CLOCK_FILE names. A wait until a time of the
 * wall clock lasts until the shifted clock shows it, as the kernel's does when somebody sets the real one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* How often a wait looks whether the clock was set. */
#define SLICE 20000000LL

static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_cnd_timedwait)(cnd_t *, mtx_t *, const struct timespec *);
static volatile int64_t *shift;

__attribute__((constructor)) static void start(void) {
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_timedwait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real_timedwait) real_timedwait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    real_cnd_timedwait = dlsym(RTLD_NEXT, "cnd_timedwait");
    const char *path = getenv("WALL_CLOCK_FILE");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED) shift = found;
}

static int64_t nanoseconds(const struct timespec *t) { return t->tv_sec * SECOND + t->tv_nsec; }

static struct timespec timespec_of(int64_t ns) {
    struct timespec t = {ns / SECOND, ns % SECOND};
    return t;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
    if (!real_gettime) start();
    int result = real_gettime(clock, t);
    if (result == 0 && shift && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        *t = timespec_of(nanoseconds(t) + *shift);
    return result;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}

/* The end of the next slice of a wait, by the real clock. False: the shifted clock shows the time that is waited for. */
static int slice(const struct timespec *until, struct timespec *end) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t left = nanoseconds(until) - nanoseconds(&now);
    if (left <= 0) return 0;
    real_gettime(CLOCK_REALTIME, &now);
    *end = timespec_of(nanoseconds(&now) + (left < SLICE ? left : SLICE));
    return 1;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    struct timespec end;
    while (slice(until, &end)) {
        int result = real_timedwait(cond, mutex, &end);
        if (result != ETIMEDOUT) return result;
    }
    return ETIMEDOUT;
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until) {
    struct timespec end;
    while (slice(until, &end)) {
        int result = real_cnd_timedwait(cond, mutex, &end);
        if (result != thrd_timedout) return result;
    }
    return thrd_timedout;
}
