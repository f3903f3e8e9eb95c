// y = x wᵀ + bias for few rows x (m, k), in fp32 or bf16; w (n, k) as torch keeps it, row by row.
#include "kernels.h"

// Few rows of x wait for memory: w is read in its order, a row at a time, since several at once are more streams than
// the processor fetches ahead. Many rows compute for as long: they meet a tile of rows of w, whose sums fill the
// registers, so that each number that is loaded is used several times. Sums are the same either way.
enum { SUMS = 2, MOST = 4, TILE = 3 };
// Bytes of x up to which it stays in the first cache beside w.
enum { NEAR = 24576 };
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
typedef __m512i numbers_bf16;
static inline numbers_bf16 take_bf16(const uint16_t *p) { return _mm512_loadu_si512(p); }
static inline lanes add_bf16(lanes sum, numbers_bf16 x, numbers_bf16 w) {
    return (lanes)_mm512_dpbf16_ps((__m512)sum, (__m512bh)w, (__m512bh)x);
}
#else
enum { BF16_AT_ONCE = LANES };
typedef lanes numbers_bf16;
static inline numbers_bf16 take_bf16(const uint16_t *p) { return load_bf16(p); }
static inline lanes add_bf16(lanes sum, numbers_bf16 x, numbers_bf16 w) { return sum + x * w; }
#endif

typedef lanes numbers_f32;
static inline numbers_f32 take_f32(const float *p) { return load_f32(p); }
static inline lanes add_f32(lanes sum, numbers_f32 x, numbers_f32 w) { return sum + x * w; }

// Keep a number in its register: gcc would rather load it again for every product.
#if defined(__AVX512F__)
#define KEPT(v) __asm__("" : "+v"(v))
#else
#define KEPT(v) (void)0
#endif

// Products of up to MOST rows of x with one row of w or a tile of them, each summed in the order of one alone. Every
// pass over a tile fetches its share of the next tile, from `begin` to `end` in each row, so that memory does not rest
// while it is computed.
#define DOTS(NAME, NUMBER, KIND, AT_ONCE, WIDENED)                                                                 \
    static inline __attribute__((always_inline)) void NAME(const NUMBER *x, const NUMBER *w, long k, int rows,     \
                                                           int columns, long begin, long end,                      \
                                                           float made[MOST][TILE]) {                               \
        lanes sums[MOST][TILE][SUMS] = {0};                                                                        \
        long i = 0;                                                                                                \
        for (; i + SUMS * AT_ONCE <= k; i += SUMS * AT_ONCE) {                                                     \
            int fetches = columns > 1 && begin <= i && i < end;                                                    \
            for (int s = 0; s < SUMS; ++s) {                                                                       \
                long at = i + s * AT_ONCE;                                                                         \
                if (columns == 1 && end)                                                                           \
                    __builtin_prefetch((const char *)(w + at) + (rows > 1 ? AHEAD_OF_SEVERAL : AHEAD), 0, 2);      \
                if (fetches)                                                                                       \
                    for (int c = 0; c < columns; ++c) __builtin_prefetch(w + (columns + c) * k + at, 0, 2);        \
                numbers_##KIND of_w[TILE];                                                                         \
                for (int c = 0; c < columns; ++c) {                                                                \
                    of_w[c] = take_##KIND(w + c * k + at);                                                         \
                    KEPT(of_w[c]);                                                                                 \
                }                                                                                                  \
                for (int r = 0; r < rows; ++r) {                                                                   \
                    numbers_##KIND of_x = take_##KIND(x + r * k + at);                                             \
                    KEPT(of_x);                                                                                    \
                    for (int c = 0; c < columns; ++c) sums[r][c][s] = add_##KIND(sums[r][c][s], of_x, of_w[c]);    \
                }                                                                                                  \
            }                                                                                                      \
        }                                                                                                          \
        for (int r = 0; r < rows; ++r)                                                                             \
            for (int c = 0; c < columns; ++c) {                                                                    \
                float sum = total(sums[r][c][0] + sums[r][c][1]);                                                  \
                for (long j = i; j < k; ++j) sum += WIDENED(x[r * k + j]) * WIDENED(w[c * k + j]);                 \
                made[r][c] = sum;                                                                                  \
            }                                                                                                      \
    }
DOTS(dots_f32, float, f32, LANES, )
DOTS(dots_bf16, uint16_t, bf16, BF16_AT_ONCE, from_bf16)

#define PART(NAME, NUMBER, DOTS_OF, WIDENED, NARROWED)                                                             \
    static void NAME(void *task, long first, long last) {                                                          \
        const struct dense *d = task;                                                                              \
        const NUMBER *x = d->x, *w = d->w, *bias = d->bias;                                                        \
        NUMBER *y = d->y;                                                                                          \
        float made[MOST][TILE];                                                                                    \
        long passes = (d->m + MOST - 1) / MOST, k = d->k;                                                          \
        int tiled = passes > 1 || d->m * k * (long)sizeof *x > NEAR;                                               \
        for (long n = first, columns; n < last; n += columns) {                                                    \
            columns = tiled && n + TILE <= last ? TILE : 1;                                                        \
            for (long m = 0, pass = 0; m < d->m; m += MOST, ++pass) {                                              \
                const NUMBER *from = x + m * k, *row = w + n * k;                                                  \
                long rows = d->m - m < MOST ? d->m - m : MOST, begin = k * pass / passes;                          \
                long end = n + columns + TILE <= last ? k * (pass + 1) / passes : 0;                               \
                switch (columns * 8 + rows) {                                                                      \
                    case 8 + 1: DOTS_OF(from, row, k, 1, 1, begin, pass == 0, made); break;                        \
                    case 8 + 2: DOTS_OF(from, row, k, 2, 1, begin, pass == 0, made); break;                        \
                    case 8 + 3: DOTS_OF(from, row, k, 3, 1, begin, pass == 0, made); break;                        \
                    case 8 + MOST: DOTS_OF(from, row, k, MOST, 1, begin, pass == 0, made); break;                  \
                    case TILE * 8 + 1: DOTS_OF(from, row, k, 1, TILE, begin, end, made); break;                    \
                    case TILE * 8 + 2: DOTS_OF(from, row, k, 2, TILE, begin, end, made); break;                    \
                    case TILE * 8 + 3: DOTS_OF(from, row, k, 3, TILE, begin, end, made); break;                    \
                    default: DOTS_OF(from, row, k, MOST, TILE, begin, end, made);                                  \
                }                                                                                                  \
                for (long r = 0; r < rows; ++r)                                                                    \
                    for (long c = 0; c < columns; ++c)                                                             \
                        y[(m + r) * d->n + n + c] = NARROWED(made[r][c] + (bias ? WIDENED(bias[n + c]) : 0.0f));   \
            }                                                                                                      \
        }                                                                                                          \
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
