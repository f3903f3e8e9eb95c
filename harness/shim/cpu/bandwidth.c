// Memory bandwidth: the triad a = b + s*c with stores that bypass the caches where the processor has them, and a
// read sweep. Elements are doubles; a thread owns n of each array and touched them first.
#define _GNU_SOURCE
#include "team.h"
#include <stdlib.h>
#include <sys/mman.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

struct arrays {
    double *a, *b, *c;
    size_t n;
    double total;
};

static double *allocate(size_t n, double value) {
    // Huge pages where the kernel gives them: the ceiling is the memory's, not that of address translation.
    size_t bytes = (n * sizeof(double) + 0x1fffff) & ~(size_t)0x1fffff;
    double *p = aligned_alloc(0x200000, bytes);
    if (!p) return NULL;
    madvise(p, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < n; ++i) p[i] = value;
    return p;
}

static double close_arrays(struct arrays *s, double checksum) {
    free(s->a), free(s->b), free(s->c), free(s);
    return checksum;
}

static void *open_triad(size_t n, int part) {
    (void)part;
    struct arrays *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    *s = (struct arrays){allocate(n, 0.0), allocate(n, 1.0), allocate(n, 2.0), n, 0.0};
    if (s->a && s->b && s->c) return s;
    close_arrays(s, 0.0);
    return NULL;
}

static void *open_sum(size_t n, int part) {
    (void)part;
    struct arrays *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    *s = (struct arrays){.b = allocate(n, 1.0), .n = n};
    if (s->b) return s;
    close_arrays(s, 0.0);
    return NULL;
}

#if defined(__AVX512F__)
enum { LANES = 8 };
#define STORE(p, v) _mm512_stream_pd(p, v)
#define TRIAD(b, c, s) _mm512_fmadd_pd(_mm512_load_pd(c), _mm512_set1_pd(s), _mm512_load_pd(b))
#elif defined(__AVX__) && defined(__FMA__)
enum { LANES = 4 };
#define STORE(p, v) _mm256_stream_pd(p, v)
#define TRIAD(b, c, s) _mm256_fmadd_pd(_mm256_load_pd(c), _mm256_set1_pd(s), _mm256_load_pd(b))
#elif defined(__SSE2__)
enum { LANES = 2 };
#define STORE(p, v) _mm_stream_pd(p, v)
#define TRIAD(b, c, s) _mm_add_pd(_mm_load_pd(b), _mm_mul_pd(_mm_set1_pd(s), _mm_load_pd(c)))
#endif

// 1 where the triad's stores bypass the caches; plain stores also read the line they write.
int triad_streams(void) {
#if defined(STORE)
    return 1;
#else
    return 0;
#endif
}

static void run_triad(void *state) {
    struct arrays *s = state;
    double *restrict a = s->a;
    const double *restrict b = s->b, *restrict c = s->c;
    size_t n = s->n, i = 0;
#if defined(STORE)
    for (; i + 4 * LANES <= n; i += 4 * LANES)  // whole cache lines, several at a time
        for (int k = 0; k < 4 * LANES; k += LANES) STORE(a + i + k, TRIAD(b + i + k, c + i + k, 3.0));
    _mm_sfence();
#endif
    for (; i < n; ++i) a[i] = b[i] + 3.0 * c[i];
}

static double close_triad(void *state) {
    struct arrays *s = state;
    double checksum = 0.0;
    for (size_t i = 0; i < s->n; ++i) checksum += s->a[i];
    return close_arrays(s, checksum);  // 7 for every element
}

static void run_sum(void *state) {
    struct arrays *s = state;
    typedef double vec __attribute__((vector_size(64), aligned(64)));
    const vec *v = (const vec *)s->b;
    vec t[8] = {0};
    size_t n = s->n / 8, i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; ++k) t[k] += v[i + k];
    double total = 0.0;
    for (int k = 0; k < 8; ++k)
        for (int lane = 0; lane < 8; ++lane) total += t[k][lane];
    for (size_t rest = i * 8; rest < s->n; ++rest) total += s->b[rest];
    s->total = total;
}

static double close_sum(void *state) {
    struct arrays *s = state;
    return close_arrays(s, s->total);  // 1 for every element
}

const struct kernel triad = {open_triad, run_triad, close_triad};
const struct kernel sum = {open_sum, run_sum, close_sum};
