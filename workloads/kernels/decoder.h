// What a decoder consists of, and what its block and its step share.
#pragma once
#include "kernels.h"

enum kind { DENSE, INT8, INT4 };

struct layer {
    const void *w, *scales, *zeros, *bias;
    long n, k, group;
    int kind;
};

struct block {
    const void *norm1, *shift1, *norm2, *shift2;  // weights and biases (k)
    struct layer qkv, out, up, down;
    long heads;
    float eps1, eps2;
};

// Each is explained where it is defined.
int product(const struct layer *l, const void *x, void *y, long m, int half, int threads);
void normed(const void *x, const void *weight, const void *bias, float eps, void *y, long m, long k, int half);
void add(const void *x, void *y, long count, int half);
int decoder_block(const struct block *b, const void *x, void *y, void *keys, void *values, const int64_t *lengths,
                  long longest, long m, long head, long sequence, int half, int threads);
