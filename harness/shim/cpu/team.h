// A team of pinned threads that runs one kernel in step and times it (see team.c).
#pragma once
#include <stddef.h>
#include <stdint.h>

// One kernel. `open` allocates a thread's part of the work and first-touches it; `run` does it once, and
// `close` frees it and returns its checksum.
struct kernel {
    void *(*open)(size_t n, int part);
    void (*run)(void *state);
    double (*close)(void *state);
};

extern const struct kernel triad, sum, fma_f32, fma_f64, chase, chain;

int64_t clock_ns(void);
