// y = x wᵀ + bias for few rows x (m, k), in fp32 or bf16; w (n, k) as torch keeps it, row by row.
#include "kernels.h"

// w is read in the order of memory, a row at a time: several rows at once are more streams than the processor
// fetches ahead.
enum { SUMS = 4 };
// Rows of x at a time, whose sums fill the registers, and rows of w that stay near while x goes by.
enum { MOST = 4, TILE = 4 };
// Weights are fetched ahead into the second cache, across the ends of rows and pages: fetched into the first, they
// would take its few places for misses from the loads themselves. Bytes ahead, of one row of x and of several, which
// give the processor more to do between two loads of w.
enum { AHEAD = 2048, AHEAD_OF_SEVERAL = 6144 };

struct dense {
    const void *x, *w, *bias;
    void *y;
    long m, n, k;
};

#if defined(__AVX512BF16__)
enum { BF16_AT_ONCE = 32 };
static inline lanes add_bf16(lanes sum, const uint16_t *x, const uint16_t *w) {
    return (lanes)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_loadu_si512(w), (__m512bh)_mm512_loadu_si512(x));
}
#else
enum { BF16_AT_ONCE = LANES };
static inline lanes add_bf16(lanes sum, const uint16_t *x, const uint16_t *w) {
    return sum + load_bf16(x) * load_bf16(w);
}
#endif

static inline lanes add_f32(lanes sum, const float *x, const float *w) { return sum + load_f32(x) * load_f32(w); }

// Products of a row of w with up to MOST rows of x, each summed in the order of one alone.
#define DOTS(NAME, NUMBER, ADD, AT_ONCE, WIDENED)                                                                  \
    static inline __attribute__((always_inline)) void NAME(const NUMBER *x, const NUMBER *w, long k, int rows,     \
                                                           int fetch, float *made) {                               \
        lanes sums[MOST][SUMS] = {0};                                                                              \
        long i = 0;                                                                                                \
        for (; i + SUMS * AT_ONCE <= k; i += SUMS * AT_ONCE)                                                       \
            for (int s = 0; s < SUMS; ++s) {                                                                       \
                long at = i + s * AT_ONCE;                                                                         \
                if (fetch) __builtin_prefetch((const char *)(w + at) + (rows > 1 ? AHEAD_OF_SEVERAL : AHEAD), 0, 2); \
                for (int r = 0; r < rows; ++r) sums[r][s] = ADD(sums[r][s], x + r * k + at, w + at);               \
            }                                                                                                      \
        for (int r = 0; r < rows; ++r) {                                                                           \
            float sum = total((sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]));                              \
            for (long j = i; j < k; ++j) sum += WIDENED(x[r * k + j]) * WIDENED(w[j]);                             \
            made[r] = sum;                                                                                         \
        }                                                                                                          \
    }
DOTS(dots_f32, float, add_f32, LANES, )
DOTS(dots_bf16, uint16_t, add_bf16, BF16_AT_ONCE, from_bf16)

#define PART(NAME, NUMBER, DOTS_OF, WIDENED, NARROWED)                                                     \
    static void NAME(void *task, long first, long last) {                                                  \
        const struct dense *d = task;                                                                      \
        const NUMBER *x = d->x, *w = d->w, *bias = d->bias;                                                \
        NUMBER *y = d->y;                                                                                  \
        float made[MOST];                                                                                  \
        for (long begin = first; begin < last; begin += TILE)                                              \
            for (long m = 0; m < d->m; m += MOST)                                                          \
                for (long n = begin; n < begin + TILE && n < last; ++n) {                                  \
                    const NUMBER *from = x + m * d->k, *row = w + n * d->k;                                \
                    long rows = d->m - m < MOST ? d->m - m : MOST;                                         \
                    switch (rows) {                                                                        \
                        case 1: DOTS_OF(from, row, d->k, 1, m == 0, made); break;                          \
                        case 2: DOTS_OF(from, row, d->k, 2, m == 0, made); break;                          \
                        case 3: DOTS_OF(from, row, d->k, 3, m == 0, made); break;                          \
                        default: DOTS_OF(from, row, d->k, MOST, m == 0, made);                             \
                    }                                                                                      \
                    for (long r = 0; r < rows; ++r)                                                        \
                        y[(m + r) * d->n + n] = NARROWED(made[r] + (bias ? WIDENED(bias[n]) : 0.0f));      \
                }                                                                                          \
    }
PART(part_f32, float, dots_f32, , )
PART(part_bf16, uint16_t, dots_bf16, from_bf16, to_bf16)

void linear_f32(const float *x, const float *w, const float *bias, float *y, long m, long n, long k, int threads) {
    struct dense d = {x, w, bias, y, m, n, k};
    in_parts(part_f32, &d, n, TILE, threads);
}

void linear_bf16(const uint16_t *x, const uint16_t *w, const uint16_t *bias, uint16_t *y, long m, long n, long k,
                 int threads) {
    struct dense d = {x, w, bias, y, m, n, k};
    in_parts(part_bf16, &d, n, TILE, threads);
}
