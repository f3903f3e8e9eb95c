// Attention of one query a head over the keys and values of its sequence, which may have any length.
//
// q and y (b, heads, size); keys and values (b, kv_heads, positions, size), a position's numbers side by side,
// heads `head` and sequences `sequence` numbers apart. heads / kv_heads queries share a key. size is a multiple of 16.
#include "kernels.h"
#include <math.h>
#include <stdlib.h>

struct attention {
    const void *q, *keys, *values;
    void *y;
    const int64_t *lengths;
    float *scores;  // [b * heads][longest]
    long heads, kv_heads, size, head, sequence, longest;
    int half;
};

enum { WIDEST = 256 };

static inline lanes load(const void *p, long i, int half) {
    return half ? load_bf16((const uint16_t *)p + i) : load_f32((const float *)p + i);
}

// exp(x) for x <= 0, relative error below 2e-7: 2^n times a polynomial of the rest (Cephes' expf).
static inline lanes exponential(lanes x) {
    typedef int32_t ints __attribute__((vector_size(64)));
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

static inline __attribute__((always_inline)) void attend_one(const struct attention *a, long number, int half) {
    long b = number / a->heads, h = number % a->heads, length = a->lengths[b], size = a->size;
    long from = b * a->sequence + h / (a->heads / a->kv_heads) * a->head;
    float *scores = a->scores + number * a->longest, most = -INFINITY;
    lanes q[WIDEST / LANES], y[WIDEST / LANES];
    float scale = 1.0f / sqrtf((float)size);
    for (long i = 0; i < size; i += LANES) q[i / LANES] = load(a->q, number * size + i, half) * scale;
    for (long t = 0; t < length; ++t) {
        lanes sum = {0};
        for (long i = 0; i < size; i += LANES) sum += q[i / LANES] * load(a->keys, from + t * size + i, half);
        scores[t] = total(sum);
        most = scores[t] > most ? scores[t] : most;
    }
    for (long t = length; t % LANES; ++t) scores[t] = -INFINITY;
    lanes weight = {0};
    for (long t = 0; t < length; t += LANES) {
        lanes e = exponential(load_f32(scores + t) - most);
        for (long rest = length - t; rest < LANES; ++rest) e[rest] = 0.0f;
        weight += e;
        memcpy(scores + t, &e, sizeof e);
    }
    for (long i = 0; i < size; i += LANES) y[i / LANES] = (lanes){0};
    for (long t = 0; t < length; ++t)
        for (long i = 0; i < size; i += LANES) y[i / LANES] += scores[t] * load(a->values, from + t * size + i, half);
    float whole = 1.0f / total(weight);
    for (long i = 0; i < size; ++i) {
        float value = y[i / LANES][i % LANES] * whole;
        if (half)
            ((uint16_t *)a->y)[number * size + i] = to_bf16(value);
        else
            ((float *)a->y)[number * size + i] = value;
    }
}

static void part(void *task, long first, long last) {
    const struct attention *a = task;
    for (long number = first; number < last; ++number)
        if (a->half)
            attend_one(a, number, 1);
        else
            attend_one(a, number, 0);
}

// Returns 0, or -1 where there is no memory or heads are too wide. Every length is at least 1 and at most `longest`.
int attend(const void *q, const void *keys, const void *values, void *y, const int64_t *lengths, long b, long heads,
           long kv_heads, long size, long head, long sequence, long longest, int half, int threads) {
    if (size > WIDEST || size % LANES) return -1;
    longest = (longest + LANES - 1) / LANES * LANES;
    float *scores = aligned_alloc(64, b * heads * longest * sizeof(float));
    if (!scores) return -1;
    struct attention a = {q, keys, values, y, lengths, scores, heads, kv_heads, size, head, sequence, longest, half};
    in_parts(part, &a, b * heads, 1, threads);
    free(scores);
    return 0;
}
