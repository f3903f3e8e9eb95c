// What the shim's CPU routines are held against: a plain STREAM triad with streaming stores on OpenMP threads,
// and a loop of fused multiply-adds written by hand with intrinsics. Both return the best repetition's rate.
#include <immintrin.h>
#include <omp.h>
#include <stdlib.h>

double stream_triad(size_t n, int threads, int reps) {
    double *a = aligned_alloc(4096, n * sizeof *a), *b = aligned_alloc(4096, n * sizeof *b),
           *c = aligned_alloc(4096, n * sizeof *c), best = 0.0;
    omp_set_num_threads(threads);
#pragma omp parallel for
    for (size_t i = 0; i < n; ++i) a[i] = 0.0, b[i] = 1.0, c[i] = 2.0;
    for (int r = 0; r < reps; ++r) {
        double begin = omp_get_wtime();
#if defined(__AVX512F__)
#pragma omp parallel for
        for (size_t i = 0; i < n; i += 8)
            _mm512_stream_pd(a + i, _mm512_fmadd_pd(_mm512_set1_pd(3.0), _mm512_load_pd(c + i), _mm512_load_pd(b + i)));
#else
#pragma omp parallel for
        for (size_t i = 0; i < n; i += 4)
            _mm256_stream_pd(a + i, _mm256_add_pd(_mm256_mul_pd(_mm256_set1_pd(3.0), _mm256_load_pd(c + i)),
                                                  _mm256_load_pd(b + i)));
#endif
        double rate = 24.0 * (double)n / (omp_get_wtime() - begin);
        if (rate > best) best = rate;
    }
    free(a), free(b), free(c);
    return best;
}

#if defined(__AVX512F__)
#define V __m512
#define FMA _mm512_fmadd_ps
#define SET1 _mm512_set1_ps
enum { LANES = 16 };
#else
#define V __m256
#define FMA _mm256_fmadd_ps
#define SET1 _mm256_set1_ps
enum { LANES = 8 };
#endif

static volatile float sink;

double fma_by_hand(size_t steps, int threads, int reps) {
    double best = 0.0;
    omp_set_num_threads(threads);
    for (int r = 0; r < reps; ++r) {
        double begin = omp_get_wtime();
#pragma omp parallel
        {
            V m = SET1(0.5f), o = SET1(1.0f);
            V x0 = SET1(0.0f), x1 = SET1(0.1f), x2 = SET1(0.2f), x3 = SET1(0.3f), x4 = SET1(0.4f), x5 = SET1(0.5f),
              x6 = SET1(0.6f), x7 = SET1(0.7f), x8 = SET1(0.8f), x9 = SET1(0.9f);
            for (size_t i = 0; i < steps; ++i) {
                x0 = FMA(x0, m, o), x1 = FMA(x1, m, o), x2 = FMA(x2, m, o), x3 = FMA(x3, m, o), x4 = FMA(x4, m, o);
                x5 = FMA(x5, m, o), x6 = FMA(x6, m, o), x7 = FMA(x7, m, o), x8 = FMA(x8, m, o), x9 = FMA(x9, m, o);
            }
            x0 = x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9;
            sink = x0[0];
        }
        double rate = 2.0 * 10 * LANES * (double)steps * threads / (omp_get_wtime() - begin);
        if (rate > best) best = rate;
    }
    return best;
}
