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
    float *scores;  // [b * heads][room]
    long heads, kv_heads, size, head, sequence, longest, room;
    int half;
};

enum { WIDEST = 256 };

// Into the second cache, for the loads' own misses need the first's places.
static inline __attribute__((always_inline)) void fetch(const void *p, long i, long count, int half) {
    const char *first = (const char *)p + i * (half ? 2 : 4);
    for (long at = 0; at < count * (half ? 2 : 4); at += 64) __builtin_prefetch(first + at, 0, 2);
}

// Meanwhile the next pass's numbers are fetched, as far away as the processor does not look: the values of these
// keys, then the keys of the next head.
static inline __attribute__((always_inline)) void attend_one(const struct attention *a, long number, long size,
                                                             int half) {
    long b = number / a->heads, h = number % a->heads, length = a->lengths ? a->lengths[b] : a->longest;
    long from = b * a->sequence + h / (a->heads / a->kv_heads) * a->head;
    float *scores = a->scores + number * a->room, most = -INFINITY;
    lanes q[WIDEST / LANES], y[WIDEST / LANES];
    float scale = 1.0f / sqrtf((float)size);
    for (long i = 0; i < size; i += LANES) q[i / LANES] = load(a->q, number * size + i, half) * scale;
    for (long t = 0; t < length; ++t) {
        lanes sum = {0};
        fetch(a->values, from + t * size, size, half);
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
    for (long t = 0; t < length; ++t) {
        fetch(a->keys, from + a->head + t * size, size, half);
        for (long i = 0; i < size; i += LANES) y[i / LANES] += scores[t] * load(a->values, from + t * size + i, half);
    }
    float whole = 1.0f / total(weight);
    for (long i = 0; i < size; i += LANES) store(a->y, number * size + i, y[i / LANES] * whole, half);
}

// Of a size that the compiler knows, sums stay in registers.
static inline __attribute__((always_inline)) void attend_sized(const struct attention *a, long number, int half) {
    if (a->size == 64)
        attend_one(a, number, 64, half);
    else
        attend_one(a, number, a->size, half);
}

static void part(void *task, long first, long last) {
    const struct attention *a = task;
    for (long number = first; number < last; ++number)
        if (a->half)
            attend_sized(a, number, 1);
        else
            attend_sized(a, number, 0);
}

// Returns 0, or -1 where there is no memory or heads are too wide. Every length is at least 1 and at most `longest`,
// which all are where `lengths` is NULL.
int attend(const void *q, const void *keys, const void *values, void *y, const int64_t *lengths, long b, long heads,
           long kv_heads, long size, long head, long sequence, long longest, int half, int threads) {
    if (size > WIDEST || size % LANES) return -1;
    long room = (longest + LANES - 1) / LANES * LANES;
    float *scores = aligned_alloc(64, b * heads * room * sizeof(float));
    if (!scores) return -1;
    struct attention a = {q,    keys, values,   y,       lengths, scores, heads, kv_heads,
                          size, head, sequence, longest, room,    half};
    in_parts(part, &a, b * heads, 1, threads);
    free(scores);
    return 0;
}
