// Fused multiply-adds from registers: enough independent chains to hide their latency, nothing from memory.
#include "team.h"
#include <stdlib.h>

#if defined(__AVX512F__)
enum { BYTES = 64, CHAINS = 24 };  // 32 registers, two of them for the operands
#elif defined(__AVX__)
enum { BYTES = 32, CHAINS = 12 };  // 16 registers
#elif defined(__aarch64__)
enum { BYTES = 16, CHAINS = 24 };
#else
enum { BYTES = 16, CHAINS = 12 };
#endif

struct sums {
    size_t n;
    double start[CHAINS];  // zeros, which the compiler cannot know: equal chains would become one
    double total;
};

static void *open_sums(size_t n, int part) {
    (void)part;
    struct sums *s = calloc(1, sizeof *s);
    if (s) s->n = n;
    return s;
}

static double close_sums(void *state) {
    struct sums *s = state;
    double total = s->total;
    free(s);
    return total;
}

// Every lane starts at 0 and becomes x/2 + 1 in each of n steps, so that it ends at 2 - 2^(1-n).
#define KERNEL(name, type)                                                                             \
    static void run_##name(void *state) {                                                              \
        typedef type vec __attribute__((vector_size(BYTES)));                                          \
        enum { LANES = BYTES / sizeof(type) };                                                         \
        struct sums *s = state;                                                                        \
        vec x[CHAINS], half, one;                                                                      \
        for (int k = 0; k < CHAINS; ++k) x[k] = (vec){0} + (type)s->start[k];                          \
        for (int i = 0; i < (int)LANES; ++i) half[i] = (type)0.5, one[i] = (type)1;                    \
        for (size_t step = 0; step < s->n; ++step) {                                                   \
            _Pragma("GCC unroll 32") for (int k = 0; k < CHAINS; ++k) x[k] = x[k] * half + one;        \
        }                                                                                              \
        double total = 0.0;                                                                            \
        for (int k = 0; k < CHAINS; ++k)                                                               \
            for (int i = 0; i < (int)LANES; ++i) total += x[k][i];                                     \
        s->total = total;                                                                              \
    }                                                                                                  \
    const struct kernel name = {open_sums, run_##name, close_sums};

KERNEL(fma_f32, float)
KERNEL(fma_f64, double)

// Lanes that one step of a kernel advances: a step is two FLOPs for each of them.
int fma_lanes(int bytes_of_type) { return CHAINS * BYTES / bytes_of_type; }
