// A whole step of a decoder over one new position of each of few sequences: words and positions, blocks, norm, and
// the words again as the output layer. One call: between two of them Python's own numbers come from memory again,
// for the weights have passed through every cache.
#include "decoder.h"
#include <stdlib.h>

struct decoder {
    const struct block *const *blocks;
    struct layer words, positions;
    const void *norm, *shift;
    long layers, vocab;
    float eps;
};

enum { NO_ROW = -2 };

// y (m, k) = rows of a table. Returns 0, or NO_ROW where one is none of its `count`.
static int looked_up(const struct layer *table, const int64_t *wanted, void *y, long m, long count, int half) {
#if PACKED
    if (table->kind == INT8) return rows_i8(table->w, table->scales, wanted, y, m, count, table->k, half);
#endif
    size_t bytes = (size_t)table->k * (half ? 2 : 4);
    for (long r = 0; r < m; ++r) {
        if (wanted[r] < 0 || wanted[r] >= count) return NO_ROW;
        memcpy((char *)y + r * bytes, (const char *)table->w + wanted[r] * bytes, bytes);
    }
    return 0;
}

// logits (m, words.n) of tokens (m). keys and values as in `decoder_block`, those of a layer `layer` numbers behind
// the one before. Returns 0, -1 where there is no memory, or NO_ROW for a token or a position that a table has not.
int decoder_step(const struct decoder *d, const int64_t *tokens, void *logits, void *keys, void *values, long layer,
                 const int64_t *lengths, long longest, long m, long head, long sequence, int half, int threads) {
    long k = d->words.k, each = half ? 2 : 4;
    size_t rows = ((size_t)(m * k * each) + 63) & ~(size_t)63, places = (m * sizeof(int64_t) + 63) & ~(size_t)63;
    char *spare = aligned_alloc(64, 2 * rows + places);
    if (!spare) return -1;
    char *x = spare, *y = spare + rows;
    int64_t *at = (int64_t *)(spare + 2 * rows);
    for (long r = 0; r < m; ++r) at[r] = (lengths ? lengths[r] : longest) - 1;
    int failed = looked_up(&d->words, tokens, x, m, d->vocab, half);
    if (!failed) failed = looked_up(&d->positions, at, y, m, d->positions.n, half);
    if (!failed) add(y, x, m * k, half);
    for (long l = 0; l < d->layers && !failed; ++l) {
        failed = decoder_block(d->blocks[l], x, y, (char *)keys + l * layer * each, (char *)values + l * layer * each,
                               lengths, longest, m, head, sequence, half, threads);
        char *other = x;
        x = y, y = other;
    }
    if (!failed) {
        normed(x, d->norm, d->shift, d->eps, y, m, k, half);
        failed = product(&d->words, y, logits, m, half, threads);
    }
    free(spare);
    return failed;
}
