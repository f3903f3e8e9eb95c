// Products of few rows with a large matrix, and attention of single queries: what a decode step on the CPU
// consists of. Every weight is read once; sums are in fp32, or exact in integers.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef float lanes __attribute__((vector_size(64), aligned(4)));
typedef uint16_t halves __attribute__((vector_size(32), aligned(2)));
typedef uint32_t words __attribute__((vector_size(64), aligned(4)));
enum { LANES = 16 };

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

static inline lanes widened(halves h) {
    words w = __builtin_convertvector(h, words) << 16;
    return (lanes)w;
}

static inline lanes load_f32(const float *p) { return *(const lanes *)p; }
static inline lanes load_bf16(const uint16_t *p) { return widened(*(const halves *)p); }

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
