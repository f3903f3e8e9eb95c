// A pre-norm block of a decoder over one new position of each of few sequences, as GPT-2's:
// x += out(attend(qkv(norm1(x)))), then x += down(gelu(up(norm2(x)))). One call, so that nothing but weights and
// cache takes time. Numbers between its parts have the format of x.
#include "decoder.h"
#include <math.h>
#include <stdlib.h>

int product(const struct layer *l, const void *x, void *y, long m, int half, int threads) {
    if (l->kind == DENSE) {
        if (half)
            linear_bf16(x, l->w, l->bias, y, m, l->n, l->k, threads);
        else
            linear_f32(x, l->w, l->bias, y, m, l->n, l->k, threads);
        return 0;
    }
#if PACKED
    if (l->kind == INT8) return linear_i8(x, l->w, l->scales, l->bias, y, m, l->n, l->k, half, threads);
    return linear_i4(x, l->w, l->scales, l->zeros, l->bias, y, m, l->n, l->k, l->group, half, threads);
#else
    return -1;
#endif
}

// y = (x - mean) / sqrt(variance + eps) * weight + bias, for each row (k)
void normed(const void *x, const void *weight, const void *bias, float eps, void *y, long m, long k, int half) {
    for (long row = 0; row < m * k; row += k) {
        lanes sum = {0}, square = {0};
        for (long i = 0; i < k; i += LANES) sum += load(x, row + i, half);
        float mean = total(sum) / (float)k;
        for (long i = 0; i < k; i += LANES) {
            lanes off = load(x, row + i, half) - mean;
            square += off * off;
        }
        float scale = 1.0f / sqrtf(total(square) / (float)k + eps);
        for (long i = 0; i < k; i += LANES) {
            lanes unit = (load(x, row + i, half) - mean) * scale;
            store(y, row + i, unit * load(weight, i, half) + load(bias, i, half), half);
        }
    }
}

// x / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3): GELU by its tanh
static void gelu(void *x, long count, int half) {
    for (long i = 0; i < count; i += LANES) {
        lanes v = load(x, i, half), twice = 1.5957691216f * (v + 0.044715f * v * v * v);
        ints below = (ints)(twice < 0.0f);
        lanes e = exponential((lanes)((words)twice | 0x80000000)), part = v / (1.0f + e);
        store(x, i, (lanes)(((ints)part & ~below) | ((ints)(part * e) & below)), half);
    }
}

void add(const void *x, void *y, long count, int half) {
    for (long i = 0; i < count; i += LANES) store(y, i, load(x, i, half) + load(y, i, half), half);
}

// Write the keys and values of row r as its sequence's last position, and its query into q.
static void cached(const char *qkv, char *q, char *keys, char *values, long heads, long bytes, long head) {
    for (long h = 0; h < heads; ++h) {
        memcpy(q + h * bytes, qkv + h * bytes, bytes);
        memcpy(keys + h * head, qkv + (heads + h) * bytes, bytes);
        memcpy(values + h * head, qkv + (2 * heads + h) * bytes, bytes);
    }
}

// y = the block's output (m, k) of x (m, k). keys and values as in `attend`, to which this position is written;
// sequence r has `longest` positions with it, or lengths[r]. Sides of all layers are multiples of 16.
// Returns 0, or -1 where there is no memory.
int decoder_block(const struct block *b, const void *x, void *y, void *keys, void *values, const int64_t *lengths,
                  long longest, long m, long head, long sequence, int half, int threads) {
    long k = b->qkv.k, wide = b->qkv.n / 3, inner = b->up.n, each = half ? 2 : 4, size = wide / b->heads;
    long room = k > wide ? k : wide, most = 3 * wide > inner ? 3 * wide : inner;
    char *spare = aligned_alloc(64, (size_t)((2 * room + most) * m * each + 63) & ~(size_t)63);
    if (!spare) return -1;
    char *small = spare, *q = small + room * m * each, *large = q + room * m * each;
    normed(x, b->norm1, b->shift1, b->eps1, small, m, k, half);
    int failed = product(&b->qkv, small, large, m, half, threads);
    for (long r = 0; r < m; ++r) {
        long at = (r * sequence + ((lengths ? lengths[r] : longest) - 1) * size) * each;
        cached(large + r * 3 * wide * each, q + r * wide * each, (char *)keys + at, (char *)values + at, b->heads,
               size * each, head * each);
    }
    failed |= attend(q, keys, values, small, lengths, m, b->heads, b->heads, size, head, sequence, longest, half,
                     threads);
    failed |= product(&b->out, small, y, m, half, threads);
    add(x, y, m * k, half);
    normed(y, b->norm2, b->shift2, b->eps2, small, m, k, half);
    failed |= product(&b->up, small, large, m, half, threads);
    gelu(large, m * inner, half);
    failed |= product(&b->down, large, small, m, half, threads);
    add(small, y, m * k, half);
    free(spare);
    return failed;
}
