// Matrix units by mma.sync, one warp a tile: 8 accumulator tiles a warp hide the latency.
#include "device.cuh"
#include "tile.cuh"

#define TILES 8

// D (4 registers) += A (4) x B (2)
#define MMA_422(shape, types, r, d, a, b)                                                                  \
    asm volatile("mma.sync.aligned." shape ".row.col." types " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "    \
                 "{%0,%1,%2,%3};"                                                                          \
                 : "+" r(d[0]), "+" r(d[1]), "+" r(d[2]), "+" r(d[3])                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
// D (4) += A (2) x B (1)
#define MMA_421(shape, types, r, d, a, b)                                                                  \
    asm volatile("mma.sync.aligned." shape ".row.col." types " {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};" \
                 : "+" r(d[0]), "+" r(d[1]), "+" r(d[2]), "+" r(d[3])                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(b[0]))
// D (2) += A (1) x B (1)
#define MMA_211(shape, types, r, d, a, b)                                                                  \
    asm volatile("mma.sync.aligned." shape ".row.col." types " {%0,%1}, {%2}, {%3}, {%0,%1};"              \
                 : "+" r(d[0]), "+" r(d[1])                                                                \
                 : "r"(a[0]), "r"(b[0]))

#define MMA_KERNEL(name, T, parts, MMA, shape, types, r)                                                   \
    extern "C" __global__ void __launch_bounds__(256) name(T* out, u32 one, u32 noise, u32 passes) {       \
        const u32 thread = blockIdx.x * blockDim.x + threadIdx.x;                                          \
        u32 a[4], b[TILES][2];                                                                             \
        T d[TILES][parts];                                                                                 \
        _Pragma("unroll") for (int i = 0; i < 4; ++i) a[i] = operand(thread * 32 + i, one, noise);         \
        _Pragma("unroll") for (int t = 0; t < TILES; ++t) {                                                \
            b[t][0] = operand(thread * 32 + 4 + 2 * t, one, noise);                                        \
            b[t][1] = operand(thread * 32 + 5 + 2 * t, one, noise);                                        \
            _Pragma("unroll") for (int i = 0; i < parts; ++i) d[t][i] = 0;                                 \
        }                                                                                                  \
        _Pragma("unroll 1") for (u32 i = 0; i < passes; ++i) {                                             \
            _Pragma("unroll") for (int k = 0; k < 4; ++k) {                                                \
                _Pragma("unroll") for (int t = 0; t < TILES; ++t) MMA(shape, types, r, d[t], a, b[t]);     \
            }                                                                                              \
        }                                                                                                  \
        T sum = 0;                                                                                         \
        _Pragma("unroll") for (int t = 0; t < TILES; ++t) {                                                \
            _Pragma("unroll") for (int i = 0; i < parts; ++i) sum += d[t][i];                              \
        }                                                                                                  \
        out[thread] = sum;                                                                                 \
    }

#if __CUDA_ARCH__ >= 800
MMA_KERNEL(mma_bf16, float, 4, MMA_422, "m16n8k16", "f32.bf16.bf16.f32", "f")
MMA_KERNEL(mma_fp16, float, 4, MMA_422, "m16n8k16", "f32.f16.f16.f32", "f")
MMA_KERNEL(mma_tf32, float, 4, MMA_422, "m16n8k8", "f32.tf32.tf32.f32", "f")
MMA_KERNEL(mma_int8, int, 4, MMA_422, "m16n8k32", "s32.s8.s8.s32", "r")
#else
MMA_KERNEL(mma_fp16, float, 4, MMA_421, "m16n8k8", "f32.f16.f16.f32", "f")
MMA_KERNEL(mma_int8, int, 2, MMA_211, "m8n8k16", "s32.s8.s8.s32", "r")
#endif
// Below, and on sm_90 and sm_100, the compiler takes FP8 and emits no FP8 instruction.
#if __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200
MMA_KERNEL(mma_fp8, float, 4, MMA_422, "m16n8k32", "f32.e4m3.e4m3.f32", "f")
#endif
