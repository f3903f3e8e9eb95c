// Products of few rows with a large matrix, and attention of single queries: what a decode step on the CPU
// consists of. Every weight is read once; sums are in fp32, or exact in integers.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

typedef float lanes __attribute__((vector_size(64), aligned(4)));
typedef uint16_t halves __attribute__((vector_size(32), aligned(2)));
typedef uint32_t words __attribute__((vector_size(64), aligned(4)));
typedef int32_t ints __attribute__((vector_size(64)));
enum { LANES = 16 };

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#define PACKED 1
#else
#define PACKED 0
#endif

// Call part(task, first, last) over [0, count), in pieces that are multiples of `step`, on this many threads.
void in_parts(void (*part)(void *, long, long), void *task, long count, long step, int threads);

static inline float from_bf16(uint16_t half) {
    uint32_t word = (uint32_t)half << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

// Round to nearest, ties to even; a NaN stays one.
static inline uint16_t to_bf16(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    if ((word & 0x7fffffff) > 0x7f800000) return 0x7fc0;
    return (uint16_t)((word + 0x7fff + (word >> 16 & 1)) >> 16);
}

// With AVX-512 by its own name: gcc makes four instructions of the conversion.
static inline lanes widened(halves h) {
#if defined(__AVX512F__)
    words w = (words)_mm512_cvtepu16_epi32((__m256i)h);
#else
    words w = __builtin_convertvector(h, words);
#endif
    return (lanes)(w << 16);
}

static inline lanes load_f32(const float *p) { return *(const lanes *)p; }
static inline lanes load_bf16(const uint16_t *p) { return widened(*(const halves *)p); }

static inline lanes load(const void *p, long i, int half) {
    return half ? load_bf16((const uint16_t *)p + i) : load_f32((const float *)p + i);
}

// Write 16 numbers; to bf16 as `to_bf16` rounds.
static inline void store(void *p, long i, lanes v, int half) {
    if (!half) {
        *(lanes *)((float *)p + i) = v;
        return;
    }
    words w = (words)v, nan = (words)(v != v);
    words rounded = (w + 0x7fff + (w >> 16 & 1)) >> 16;
    *(halves *)((uint16_t *)p + i) = __builtin_convertvector((rounded & ~nan) | (0x7fc0 & nan), halves);
}

// exp(x) for x <= 0, relative error below 2e-7: 2^n times a polynomial of the rest (Cephes' expf).
static inline lanes exponential(lanes x) {
    lanes least = (lanes){0} - 87.0f;
    ints under = (ints)(x < least);
    lanes low = (lanes)(((ints)x & ~under) | ((ints)least & under));
    lanes turns = low * 1.44269504f - 0.5f;
    ints n = __builtin_convertvector(turns, ints);  // towards zero, of a number below: rounds
    lanes whole = __builtin_convertvector(n, lanes);
    lanes r = low - whole * 0.693359375f + whole * 2.12194440e-4f;
    lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    ints bits = (n + 127) << 23;
    return p * (lanes)bits;
}

static inline float total(lanes v) {
    typedef float half_lanes __attribute__((vector_size(32)));
    typedef float quarter __attribute__((vector_size(16)));
    half_lanes a, b;
    memcpy(&a, &v, 32), memcpy(&b, (char *)&v + 32, 32);
    a += b;
    quarter c, d;
    memcpy(&c, &a, 16), memcpy(&d, (char *)&a + 16, 16);
    c += d;
    return (c[0] + c[2]) + (c[1] + c[3]);
}

// Each is explained where it is defined.
void linear_f32(const float *x, const float *w, const float *bias, float *y, long m, long n, long k, int threads);
void linear_bf16(const uint16_t *x, const uint16_t *w, const uint16_t *bias, uint16_t *y, long m, long n, long k,
                 int threads);
int linear_i8(const void *x, const uint8_t *w, const float *scale, const float *bias, void *y, long m, long n, long k,
              int half, int threads);
int linear_i4(const void *x, const uint8_t *w, const uint16_t *scales, const uint16_t *zeros, const float *bias,
              void *y, long m, long n, long k, long group, int half, int threads);
int rows_i8(const uint8_t *w, const float *scale, const int64_t *wanted, void *y, long count, long n, long k, int half);
int attend(const void *q, const void *keys, const void *values, void *y, const int64_t *lengths, long b, long heads,
           long kv_heads, long size, long head, long sequence, long longest, int half, int threads);
