// y = x wᵀ + bias for few rows x (m, k), in fp32 or bf16; w (n, k) as torch keeps it, row by row.
#include "kernels.h"
#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

// w is read in the order of memory, a row at a time: several rows at once are more streams than the processor
// fetches ahead.
enum { SUMS = 4 };
// Rows of x at a time, whose sums fill the registers, and rows of w that stay near while x goes by.
enum { MOST = 4, TILE = 4 };
// Bytes to fetch ahead into the second cache, across the ends of rows and pages. Fetched into the first, they would
// take its few places for misses from the loads themselves.
#define AHEAD 3072
#define FETCH(p) __builtin_prefetch((const char *)(p) + AHEAD, 0, 2)

struct dense {
    const void *x, *w, *bias;
    void *y;
    long m, n, k;
};

// Products of a row of w with up to MOST rows of x, each summed in the order of one alone.
static inline __attribute__((always_inline)) void dots_f32(const float *x, const float *w, long k, int rows, int fetch,
                                                           float *made) {
    lanes sums[MOST][SUMS] = {0};
    long i = 0;
    for (; i + SUMS * LANES <= k; i += SUMS * LANES)
        for (int s = 0; s < SUMS; ++s) {
            if (fetch) FETCH(w + i + s * LANES);
            lanes v = load_f32(w + i + s * LANES);
            for (int r = 0; r < rows; ++r) sums[r][s] += load_f32(x + r * k + i + s * LANES) * v;
        }
    for (int r = 0; r < rows; ++r) {
        float sum = total((sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]));
        for (long j = i; j < k; ++j) sum += x[r * k + j] * w[j];
        made[r] = sum;
    }
}

static inline float dot_bf16(const uint16_t *x, const uint16_t *w, long k) {
    long i = 0;
#if defined(__AVX512BF16__)
    __m512 sums[SUMS];
    for (int s = 0; s < SUMS; ++s) sums[s] = _mm512_setzero_ps();
    for (; i + SUMS * 32 <= k; i += SUMS * 32)
        for (int s = 0; s < SUMS; ++s) {
            FETCH(w + i + s * 32);
            sums[s] = _mm512_dpbf16_ps(sums[s], (__m512bh)_mm512_loadu_si512(w + i + s * 32),
                                       (__m512bh)_mm512_loadu_si512(x + i + s * 32));
        }
    float sum = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
#else
    lanes sums[SUMS] = {0};
    for (; i + SUMS * LANES <= k; i += SUMS * LANES)
        for (int s = 0; s < SUMS; ++s) sums[s] += load_bf16(x + i + s * LANES) * load_bf16(w + i + s * LANES);
    float sum = total((sums[0] + sums[1]) + (sums[2] + sums[3]));
#endif
    for (; i < k; ++i) sum += from_bf16(x[i]) * from_bf16(w[i]);
    return sum;
}

static void part_f32(void *task, long first, long last) {
    const struct dense *d = task;
    const float *x = d->x, *w = d->w, *bias = d->bias;
    float *y = d->y, made[MOST];
    for (long begin = first; begin < last; begin += TILE)
        for (long m = 0; m < d->m; m += MOST)
            for (long n = begin; n < begin + TILE && n < last; ++n) {
                const float *from = x + m * d->k, *row = w + n * d->k;
                long rows = d->m - m < MOST ? d->m - m : MOST;
                switch (rows) {
                    case 1: dots_f32(from, row, d->k, 1, m == 0, made); break;
                    case 2: dots_f32(from, row, d->k, 2, m == 0, made); break;
                    case 3: dots_f32(from, row, d->k, 3, m == 0, made); break;
                    default: dots_f32(from, row, d->k, MOST, m == 0, made);
                }
                for (long r = 0; r < rows; ++r) y[(m + r) * d->n + n] = made[r] + (bias ? bias[n] : 0.0f);
            }
}

static void part_bf16(void *task, long first, long last) {
    const struct dense *d = task;
    const uint16_t *x = d->x, *w = d->w, *bias = d->bias;
    uint16_t *y = d->y;
    for (long n = first; n < last; ++n)
        for (long m = 0; m < d->m; ++m)
            y[m * d->n + n] = to_bf16(dot_bf16(x + m * d->k, w + n * d->k, d->k) + (bias ? from_bf16(bias[n]) : 0.0f));
}

void linear_f32(const float *x, const float *w, const float *bias, float *y, long m, long n, long k, int threads) {
    struct dense d = {x, w, bias, y, m, n, k};
    in_parts(part_f32, &d, n, TILE, threads);
}

void linear_bf16(const uint16_t *x, const uint16_t *w, const uint16_t *bias, uint16_t *y, long m, long n, long k,
                 int threads) {
    struct dense d = {x, w, bias, y, m, n, k};
    in_parts(part_bf16, &d, n, 1, threads);
}
