// Threads that do the same work at the same time: every repetition begins and ends at a barrier of all, and the
// first thread's wall clock between the two is its time. Each thread's own CPU time is kept beside it, so that
// what a hypervisor or another process took shows.
#define _GNU_SOURCE
#include "team.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { SPINS = 4096 };

struct barrier {
    _Alignas(64) atomic_int waiting;
    _Alignas(64) atomic_int round;
    int threads;
};

struct team {
    const struct kernel *kernel;
    size_t n;
    int threads, reps;
    int64_t *wall_ns, *cpu_ns;  // [reps]; CPU time is the sum over threads
    struct barrier barrier;
    atomic_int failed;
};

struct member {
    struct team *team;
    int part, cpu, pinned;
    double checksum;
    pthread_t thread;
};

static int64_t read_clock(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_ns(void) { return read_clock(CLOCK_MONOTONIC); }

// Spin, since sleeping would time the scheduler; give way now and then, since a core may be shared.
static void meet(struct barrier *b) {
    if (b->threads == 1) return;
    int round = atomic_load_explicit(&b->round, memory_order_acquire);
    if (atomic_fetch_add(&b->waiting, 1) == b->threads - 1) {
        atomic_store(&b->waiting, 0);
        atomic_store_explicit(&b->round, round + 1, memory_order_release);
        return;
    }
    for (int spins = 1; atomic_load_explicit(&b->round, memory_order_acquire) == round; ++spins)
        if (spins % SPINS == 0) sched_yield();
}

static int pin(int cpu) {
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    if (!set) return 0;
    size_t size = CPU_ALLOC_SIZE(cpu + 1);
    CPU_ZERO_S(size, set);
    CPU_SET_S(cpu, size, set);
    int ok = pthread_setaffinity_np(pthread_self(), size, set) == 0;
    CPU_FREE(set);
    return ok;
}

static void *work(void *argument) {
    struct member *me = argument;
    struct team *team = me->team;
    me->pinned = me->cpu >= 0 && pin(me->cpu);
    void *state = team->kernel->open(team->n, me->part);
    if (!state) atomic_store(&team->failed, 1);
    meet(&team->barrier);
    if (atomic_load(&team->failed)) {
        if (state) team->kernel->close(state);
        return NULL;
    }
    for (int r = 0; r < team->reps; ++r) {
        meet(&team->barrier);
        int64_t cpu = read_clock(CLOCK_THREAD_CPUTIME_ID), wall = clock_ns();
        team->kernel->run(state);
        int64_t used = read_clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
        __atomic_fetch_add(&team->cpu_ns[r], used, __ATOMIC_RELAXED);
        meet(&team->barrier);
        if (me->part == 0) team->wall_ns[r] = clock_ns() - wall;
    }
    me->checksum = team->kernel->close(state);
    return NULL;
}

static void *pass(void *argument) {
    struct member *me = argument;
    struct team *team = me->team;
    if (me->cpu >= 0) pin(me->cpu);
    meet(&team->barrier);
    if (atomic_load(&team->failed)) return NULL;
    for (int r = 0; r < team->reps; ++r) {
        int64_t begin = clock_ns();
        for (size_t i = 0; i < team->n; ++i) meet(&team->barrier);
        if (me->part == 0) team->wall_ns[r] = clock_ns() - begin;
    }
    return NULL;
}

// Start the members, wait for them, and return how many were pinned; -1 when one could not start or open.
static int run_members(struct team *team, void *(*body)(void *), const int *cpus, double *checksums) {
    struct member *members = calloc(team->threads, sizeof *members);
    if (!members) return -1;
    int started = 0, pinned = 0;
    for (; started < team->threads; ++started) {
        struct member *m = &members[started];
        *m = (struct member){.team = team, .part = started, .cpu = cpus[started]};
        if (pthread_create(&m->thread, NULL, body, m)) break;
    }
    if (started < team->threads) {
        // Those that run wait for partners that will never come: take the places of the missing.
        atomic_store(&team->failed, 1);
        atomic_fetch_add(&team->barrier.waiting, team->threads - started - 1);
        meet(&team->barrier);
    }
    for (int i = 0; i < started; ++i) {
        pthread_join(members[i].thread, NULL);
        pinned += members[i].pinned;
        if (checksums) checksums[i] = members[i].checksum;
    }
    free(members);
    return atomic_load(&team->failed) ? -1 : pinned;
}

static const struct kernel *const kernels[] = {&triad, &sum, &fma_f32, &fma_f64, &chase, &chain};

// Run kernel `id` on `threads` threads, thread i on cpus[i] (not pinned where that is negative), each with a part
// of size n, `reps` times. Fills wall_ns[reps], cpu_ns[reps] and checksums[threads]. Returns how many threads
// were pinned; -1 without memory or threads.
int team_run(int id, size_t n, int threads, const int *cpus, int reps, int64_t *wall_ns, int64_t *cpu_ns,
             double *checksums) {
    struct team team = {kernels[id], n, threads, reps, wall_ns, cpu_ns, {.threads = threads}, 0};
    for (int r = 0; r < reps; ++r) cpu_ns[r] = 0;
    return run_members(&team, work, cpus, checksums);
}

// Let the team meet `n` times, `reps` times over; wall_ns[reps] is the time of n meetings.
int barrier_run(size_t n, int threads, const int *cpus, int reps, int64_t *wall_ns) {
    struct team team = {NULL, n, threads, reps, wall_ns, NULL, {.threads = threads}, 0};
    return run_members(&team, pass, cpus, NULL);
}

static void *leave(void *argument) { return argument; }

// Start `threads` threads that do nothing and wait for their ends, `reps` times: the cost of a fork and join.
int fork_run(int threads, int reps, int64_t *wall_ns) {
    pthread_t *team = calloc(threads, sizeof *team);
    if (!team) return -1;
    int failed = 0;
    for (int r = 0; r < reps && !failed; ++r) {
        int64_t begin = clock_ns(), started = 0;
        while (started < threads && !(failed = pthread_create(&team[started], NULL, leave, NULL))) ++started;
        while (started > 0) pthread_join(team[--started], NULL);
        wall_ns[r] = clock_ns() - begin;
    }
    free(team);
    return failed ? -1 : 0;
}
