// Latencies: loads that depend on each other, and instructions that depend on each other.
#define _GNU_SOURCE
#include "team.h"
#include <stdlib.h>
#include <sys/mman.h>

enum { LINE = 64, STEPS = 1 << 16 };

struct ring {
    char *memory;
    void **at;
    size_t lines;
};

static uint64_t next_random(uint64_t *x) {  // xorshift64
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    return *x;
}

// n bytes, one pointer a cache line, all on one random cycle (Sattolo), so that no prefetcher foresees the next.
static void *open_ring(size_t n, int part) {
    struct ring *s = calloc(1, sizeof *s);
    size_t bytes = (n + 0x1fffff) & ~(size_t)0x1fffff, lines = n / LINE;
    uint32_t *order = malloc(lines * sizeof *order);
    char *memory = aligned_alloc(0x200000, bytes);
    if (!s || !order || !memory || lines < 2) return free(s), free(order), free(memory), NULL;
    madvise(memory, bytes, MADV_HUGEPAGE);
    uint64_t seed = 0x9e3779b97f4a7c15u + (uint64_t)part;
    for (size_t i = 0; i < lines; ++i) order[i] = (uint32_t)i;
    for (size_t i = lines - 1; i > 0; --i) {
        size_t j = next_random(&seed) % i;
        uint32_t t = order[i];
        order[i] = order[j], order[j] = t;
    }
    for (size_t i = 0; i < lines; ++i) *(void **)(memory + i * LINE) = memory + (size_t)order[i] * LINE;
    free(order);
    *s = (struct ring){memory, (void **)memory, lines};
    return s;
}

static void *follow(void **at, size_t steps) {
    for (size_t i = 0; i < steps; ++i) at = *at;
    return at;
}

// Each run takes STEPS steps and goes on from where the last one ended.
static void run_chase(void *state) {
    struct ring *s = state;
    s->at = follow(s->at, STEPS);
}

// The length of the cycle: equal to the lines when every one of them is on it.
static double close_chase(void *state) {
    struct ring *s = state;
    void **at = *(void ***)s->memory;
    size_t length = 1;
    for (; (char *)at != s->memory && length <= s->lines; ++length) at = *at;
    free(s->memory), free(s);
    return (double)length;
}

// Walk a ring of `bytes` warm, then again after reading `sweep_bytes` of other memory: ns a step of each.
int flush_proof(size_t bytes, size_t sweep_bytes, double *warm_ns, double *cold_ns) {
    struct ring *s = open_ring(bytes, 0);
    volatile char *sweep = malloc(sweep_bytes);
    if (!s || !sweep) {
        if (s) close_chase(s);
        free((void *)sweep);
        return -1;
    }
    for (size_t i = 0; i < sweep_bytes; i += LINE) sweep[i] = 1;
    void **at = follow((void **)s->memory, 2 * s->lines);
    int64_t begin = clock_ns();
    at = follow(at, s->lines);
    *warm_ns = (double)(clock_ns() - begin) / (double)s->lines;
    for (size_t i = 0; i < sweep_bytes; i += LINE) (void)sweep[i];
    begin = clock_ns();
    at = follow(at, s->lines);
    *cold_ns = (double)(clock_ns() - begin) / (double)s->lines;
    int ok = (char *)at == s->memory ? 0 : -1;
    free((void *)sweep);
    close_chase(s);
    return ok;
}

struct steps {
    size_t n;
    uint64_t last;
};

static void *open_steps(size_t n, int part) {
    (void)part;
    struct steps *s = calloc(1, sizeof *s);
    if (s) s->n = n;
    return s;
}

// 2n additions of registers, each needing the one before: a cycle each on every processor of today (an addition
// of a constant may be folded away, that of a register not). The sums are Fibonacci numbers modulo 2^64.
uint64_t dependent_additions(size_t n) {
    uint64_t x = 1, y = 1;
    for (size_t i = 0; i < n; i += 8) {
        _Pragma("GCC unroll 8") for (int k = 0; k < 8; ++k) {
            x += y;
            __asm__ volatile("" : "+r"(x));
            y += x;
            __asm__ volatile("" : "+r"(y));
        }
    }
    return y;
}

static void run_chain(void *state) {
    struct steps *s = state;
    s->last = dependent_additions(s->n);
}

static double close_chain(void *state) {
    struct steps *s = state;
    double last = (double)(s->last & 0xffffffff);
    free(s);
    return last;
}

const struct kernel chase = {open_ring, run_chase, close_chase};
const struct kernel chain = {open_steps, run_chain, close_chain};
