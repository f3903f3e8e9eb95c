// Hopper's matrix units by wgmma (sm_90a): two warpgroups a block, each 64 x 256, operands in shared memory.
#include "device.cuh"
#include "tile.cuh"

#define ROW_BYTES 128 /* of K: four instructions deep, whatever the type */
#define A_ROWS 64
#define B_ROWS 256
#define GROUPS 2

// A K-major tile with 128-byte swizzle: address / 16, eight rows (1024 bytes) apart, layout 1.
__device__ __forceinline__ u64 descriptor(const void* tile) {
    const u64 address = (u64)__cvta_generic_to_shared(tile);
    return ((address & 0x3FFFF) >> 4) | (1ULL << 16) | ((1024ULL >> 4) << 32) | (1ULL << 62);
}

#define ACCUMULATORS                                                                              \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
#define EACH4(r, i) "+" r(d[i]), "+" r(d[i + 1]), "+" r(d[i + 2]), "+" r(d[i + 3])
#define EACH16(r, i) EACH4(r, i), EACH4(r, i + 4), EACH4(r, i + 8), EACH4(r, i + 12)
#define EACH128(r)                                                                                \
    EACH16(r, 0), EACH16(r, 16), EACH16(r, 32), EACH16(r, 48), EACH16(r, 64), EACH16(r, 80),      \
        EACH16(r, 96), EACH16(r, 112)

#define WGMMA(shape_types, scales, r, a, b)                                                       \
    asm volatile("{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"                                   \
                 "wgmma.mma_async.sync.aligned." shape_types " " ACCUMULATORS "%128, %129, add" scales ";\n}" \
                 : EACH128(r)                                                                     \
                 : "l"(a), "l"(b))

#define WGMMA_KERNEL(name, T, shape_types, scales, r)                                             \
    extern "C" __global__ void __launch_bounds__(128 * GROUPS, 1)                                 \
        name(T* out, u32 one, u32 noise, u32 passes) {                                            \
        __shared__ __align__(1024) u32 a_tile[GROUPS][A_ROWS * ROW_BYTES / 4];                    \
        __shared__ __align__(1024) u32 b_tile[B_ROWS * ROW_BYTES / 4];                            \
        for (u32 i = threadIdx.x; i < GROUPS * A_ROWS * ROW_BYTES / 4; i += blockDim.x)           \
            (&a_tile[0][0])[i] = operand(i, one, noise);                                          \
        for (u32 i = threadIdx.x; i < B_ROWS * ROW_BYTES / 4; i += blockDim.x)                    \
            b_tile[i] = operand(~i, one, noise);                                                  \
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");                              \
        __syncthreads();                                                                          \
        const u64 a = descriptor(a_tile[threadIdx.x / 128]);                                      \
        const u64 b = descriptor(b_tile);                                                         \
        T d[128];                                                                                 \
        _Pragma("unroll") for (int i = 0; i < 128; ++i) d[i] = 0;                                 \
        _Pragma("unroll 1") for (u32 i = 0; i < passes; ++i) {                                    \
            asm volatile("wgmma.fence.sync.aligned;" ::: "memory");                               \
            /* 32 bytes of K are one instruction; the descriptor counts in 16 */                  \
            _Pragma("unroll") for (int k = 0; k < 4; ++k)                                         \
                WGMMA(shape_types, scales, r, a + 2 * k, b + 2 * k);                              \
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");                        \
            asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");                        \
        }                                                                                         \
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");                            \
        asm volatile("" : EACH128(r)::"memory"); /* nothing reads the sums before the wait */     \
        T sum = 0;                                                                                \
        _Pragma("unroll") for (int i = 0; i < 128; ++i) sum += d[i];                              \
        out[blockIdx.x * blockDim.x + threadIdx.x] = sum;                                         \
    }

WGMMA_KERNEL(wgmma_bf16, float, "m64n256k16.f32.bf16.bf16", ", 1, 1, 0, 0", "f")
WGMMA_KERNEL(wgmma_fp16, float, "m64n256k16.f32.f16.f16", ", 1, 1, 0, 0", "f")
WGMMA_KERNEL(wgmma_tf32, float, "m64n256k8.f32.tf32.tf32", ", 1, 1", "f")
WGMMA_KERNEL(wgmma_fp8, float, "m64n256k32.f32.e4m3.e4m3", ", 1, 1", "f")
WGMMA_KERNEL(wgmma_int8, int, "m64n256k32.s32.s8.s8", "", "r")
