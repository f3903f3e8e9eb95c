// y = x wᵀ + bias for few rows x (m, k) and weights of 8 or 4 bits, by the processor's products of bytes.
//
// The weights lie in blocks of 16 outputs. A step of a block is 64 bytes: for each of its outputs, four
// neighbouring inputs' weights as unsigned numbers (int8 plus 128; int4 plus 8, two steps in the low and the
// high halves of one byte). x becomes fixed point, as signed bytes of descending weight ("planes"): three for
// fp32, two for bf16, which hold it to 2⁻²³ and 2⁻¹⁵ of its largest number. Sums of products are exact.
#include "kernels.h"
#include <math.h>
#include <stdlib.h>

int packed_kernels(void) { return PACKED; }

#if PACKED
#include <immintrin.h>

enum { BLOCK = 16, STEP = 64, PLANES = 3, AHEAD = 8192 };  // bytes fetched ahead, past the ends of pages

struct planes {
    int8_t *bytes;   // [plane][k], most significant first
    int32_t *starts; // [group][plane]: minus what the weights' offset adds to the sum of products
    float *totals;   // [group]: the sum of x there
    float scale;     // x = scale * (its fixed-point number)
};

struct packed {
    const uint8_t *w;
    const float *scale;               // int8: [n]
    const uint16_t *scales, *zeros;   // int4: bf16, [n / 16][k / group][16]
    const float *bias;                // [n], or NULL
    void *y;
    const struct planes *x;           // [m]
    long m, n, k, group;
    int half;                         // x and y are bf16
    int offset;                       // of the stored numbers
};

static inline __m512 sixteen(const void *x, long i, int half) { return (__m512)load(x, i, half); }

static void planes_of(const void *x, long k, long group, int half, int count, int offset, struct planes *made) {
    __m512 most = _mm512_setzero_ps();
    float limit = count == 3 ? 8355711.0f : 32639.0f;  // 127 in every plane
    __mmask16 unordered = 0;
    for (long i = 0; i < k; i += BLOCK) {
        __m512 value = sixteen(x, i, half);
        unordered |= _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
        most = _mm512_max_ps(most, _mm512_abs_ps(value));
    }
    float largest = _mm512_reduce_max_ps(most);
    made->scale = unordered || isinf(largest) ? NAN : largest / limit;  // fixed point holds neither: the row is NaN
    __m512 inverse = _mm512_set1_ps(largest > 0 ? limit / largest : 0.0f);
    // largest * inverse may round to more than the limit, which the first plane cannot hold
    __m512i most_fixed = _mm512_set1_epi32((int32_t)limit), least_fixed = _mm512_set1_epi32(-(int32_t)limit);
    for (long g = 0; g < k / group; ++g) {
        __m512i sums[PLANES] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
        __m512 all = _mm512_setzero_ps();
        for (long i = g * group; i < (g + 1) * group; i += BLOCK) {
            __m512 value = sixteen(x, i, half);
            __m512i fixed = _mm512_cvtps_epi32(_mm512_mul_ps(value, inverse));
            fixed = _mm512_max_epi32(_mm512_min_epi32(fixed, most_fixed), least_fixed);
            all = _mm512_add_ps(all, value);
            for (int p = count - 1; p >= 0; --p) {
                __m512i low = _mm512_srai_epi32(_mm512_slli_epi32(fixed, 24), 24);
                _mm_storeu_si128((__m128i *)(made->bytes + p * k + i), _mm512_cvtepi32_epi8(low));
                sums[p] = _mm512_add_epi32(sums[p], low);
                fixed = _mm512_srai_epi32(_mm512_sub_epi32(fixed, low), 8);
            }
        }
        for (int p = 0; p < PLANES; ++p) made->starts[g * PLANES + p] = -offset * _mm512_reduce_add_epi32(sums[p]);
        made->totals[g] = _mm512_reduce_add_ps(all);
    }
}

static inline __m512i four(const int8_t *plane, long step) {
    int32_t word;
    memcpy(&word, plane + 4 * step, 4);
    return _mm512_set1_epi32(word);
}

static inline void put(const struct packed *d, long m, long n, __m512 y) {
    if (d->bias) y = _mm512_add_ps(y, _mm512_loadu_ps(d->bias + n));
    store(d->y, m * d->n + n, (lanes)y, d->half);
}

// sum over planes of 256^(count - 1 - p) * sum, as fp32
static inline __m512 joined(const __m512i *sums, int count) {
    __m512 all = _mm512_setzero_ps();
    for (int p = 0; p < count; ++p) all = _mm512_fmadd_ps(all, _mm512_set1_ps(256.0f), _mm512_cvtepi32_ps(sums[p]));
    return all;
}

static inline __attribute__((always_inline)) void block_i8(const struct packed *d, long n, long m, int count) {
    const uint8_t *w = d->w + n * d->k;
    const struct planes *x = d->x + m;
    __m512i sums[2][PLANES];
    for (int p = 0; p < count; ++p) sums[0][p] = _mm512_set1_epi32(x->starts[p]), sums[1][p] = _mm512_setzero_si512();
    long steps = d->k / 4, s = 0;
    for (; s + 2 <= steps; s += 2)
        for (int odd = 0; odd < 2; ++odd) {
            __m512i at = _mm512_loadu_si512(w + (s + odd) * STEP);
            _mm_prefetch((const char *)w + (s + odd) * STEP + AHEAD, _MM_HINT_T0);
            for (int p = 0; p < count; ++p)
                sums[odd][p] = _mm512_dpbusd_epi32(sums[odd][p], at, four(x->bytes + p * d->k, s + odd));
        }
    for (; s < steps; ++s) {
        __m512i at = _mm512_loadu_si512(w + s * STEP);
        for (int p = 0; p < count; ++p) sums[0][p] = _mm512_dpbusd_epi32(sums[0][p], at, four(x->bytes + p * d->k, s));
    }
    for (int p = 0; p < count; ++p) sums[0][p] = _mm512_add_epi32(sums[0][p], sums[1][p]);
    __m512 y = _mm512_mul_ps(joined(sums[0], count), _mm512_set1_ps(x->scale));
    put(d, m, n, _mm512_mul_ps(y, _mm512_loadu_ps(d->scale + n)));
}

static inline __attribute__((always_inline)) void block_i4(const struct packed *d, long n, long m, int count) {
    const struct planes *x = d->x + m;
    const uint8_t *w = d->w + n * d->k / 2;
    long groups = d->k / d->group, steps = d->group / 8;
    const uint16_t *scales = d->scales + n * groups, *zeros = d->zeros + n * groups;
    const __m512i low = _mm512_set1_epi8(15);
    __m512 y = _mm512_setzero_ps(), shifted = y, scale = _mm512_set1_ps(x->scale);
    for (long g = 0; g < groups; ++g) {
        __m512i sums[2][PLANES];
        for (int p = 0; p < count; ++p)
            sums[0][p] = _mm512_set1_epi32(x->starts[g * PLANES + p]), sums[1][p] = _mm512_setzero_si512();
        const int8_t *bytes = x->bytes + g * d->group;
        for (long s = 0; s < steps; ++s, w += STEP) {
            _mm_prefetch((const char *)w + AHEAD, _MM_HINT_T0);
            __m512i at = _mm512_loadu_si512(w), even = _mm512_and_si512(at, low);
            __m512i odd = _mm512_and_si512(_mm512_srli_epi16(at, 4), low);
            for (int p = 0; p < count; ++p) {
                sums[0][p] = _mm512_dpbusd_epi32(sums[0][p], even, four(bytes + p * d->k, 2 * s));
                sums[1][p] = _mm512_dpbusd_epi32(sums[1][p], odd, four(bytes + p * d->k, 2 * s + 1));
            }
        }
        for (int p = 0; p < count; ++p) sums[0][p] = _mm512_add_epi32(sums[0][p], sums[1][p]);
        __m512 exact = joined(sums[0], count);
        y = _mm512_fmadd_ps(exact, sixteen(scales, g * BLOCK, 1), y);
        shifted = _mm512_fmadd_ps(_mm512_set1_ps(x->totals[g]), sixteen(zeros, g * BLOCK, 1), shifted);
    }
    put(d, m, n, _mm512_fmadd_ps(y, scale, shifted));
}

#define PART(NAME, BLOCK_OF)                                          \
    static void NAME(void *task, long first, long last) {             \
        const struct packed *d = task;                                \
        for (long n = first; n < last; n += BLOCK)                    \
            for (long m = 0; m < d->m; ++m)                           \
                if (d->half)                                          \
                    BLOCK_OF(d, n, m, 2);                             \
                else                                                  \
                    BLOCK_OF(d, n, m, 3);                             \
    }
PART(part_i8, block_i8)
PART(part_i4, block_i4)

static int product(struct packed *d, const void *x, void (*part)(void *, long, long), int threads) {
    long groups = d->k / d->group, size = d->half ? 2 : 4;
    size_t bytes = d->k * PLANES, sums = groups * PLANES * sizeof(int32_t), totals = groups * sizeof(float);
    size_t each = (bytes + sums + totals + 63) & ~(size_t)63;
    char *room = aligned_alloc(64, d->m * (each + 64));
    if (!room) return -1;
    struct planes *planes = (struct planes *)(room + d->m * each);
    for (long m = 0; m < d->m; ++m) {
        char *own = room + m * each;
        planes[m] = (struct planes){(int8_t *)own, (int32_t *)(own + bytes), (float *)(own + bytes + sums), 0.0f};
        planes_of((const char *)x + m * d->k * size, d->k, d->group, d->half, d->half ? 2 : 3, d->offset, planes + m);
    }
    d->x = planes;
    in_parts(part, d, d->n, BLOCK, threads);
    free(room);
    return 0;
}

// Returns 0, or -1 where there is no memory. n and k are multiples of 16.
int linear_i8(const void *x, const uint8_t *w, const float *scale, const float *bias, void *y, long m, long n, long k,
              int half, int threads) {
    struct packed d = {.w = w, .scale = scale, .bias = bias, .y = y, .m = m, .n = n, .k = k, .group = k, .half = half,
                       .offset = 128};
    return product(&d, x, part_i8, threads);
}

// Returns 0, or -1 where there is no memory. n is a multiple of 16, k of the group, the group of 16.
int linear_i4(const void *x, const uint8_t *w, const uint16_t *scales, const uint16_t *zeros, const float *bias,
              void *y, long m, long n, long k, long group, int half, int threads) {
    struct packed d = {.w = w, .scales = scales, .zeros = zeros, .bias = bias, .y = y, .m = m, .n = n, .k = k,
                       .group = group, .half = half, .offset = 8};
    return product(&d, x, part_i4, threads);
}

// y (count, k) = the weights of these outputs, each below n. Returns 0, or -2 where one is not.
int rows_i8(const uint8_t *w, const float *scale, const int64_t *wanted, void *y, long count, long n, long k,
            int half) {
    for (long r = 0; r < count; ++r) {
        int64_t at = wanted[r];
        if (at < 0 || at >= n) return -2;
        const uint8_t *from = w + at / BLOCK * BLOCK * k + at % BLOCK * 4;
        for (long i = 0; i < k; ++i) {
            float value = (from[i / 4 * STEP + i % 4] - 128.0f) * scale[at];
            if (half)
                ((uint16_t *)y)[r * k + i] = to_bf16(value);
            else
                ((float *)y)[r * k + i] = value;
        }
    }
    return 0;
}
#endif
