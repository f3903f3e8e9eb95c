// Blackwell's matrix units by tcgen05 (sm_100a): one thread issues 128 x 256 tiles into tensor memory.
#include "device.cuh"
#include "tile.cuh"

#define ROW_BYTES 128 /* of K: four instructions deep, whatever the type */
#define M 128
#define N 256
#define COLUMNS 256 /* of tensor memory, one an accumulator column */

// A K-major tile with 128-byte swizzle: address / 16, eight rows (1024 bytes) apart, version 1, layout 2.
__device__ __forceinline__ u64 descriptor(u32 address) {
    return ((address & 0x3FFFF) >> 4) | (1ULL << 16) | ((1024ULL >> 4) << 32) | (1ULL << 46) | (2ULL << 61);
}

// Bits 4-5 the type of D, 7-9 of A, 10-12 of B, 17-22 N / 8, 24-28 M / 16.
__host__ __device__ constexpr u32 instruction(u32 d, u32 a, u32 b) {
    return d << 4 | a << 7 | b << 10 | (N / 8) << 17 | (M / 16) << 24;
}

template <typename T>
__device__ __forceinline__ T bits_as(u32 bits);
template <>
__device__ __forceinline__ float bits_as<float>(u32 bits) {
    return __uint_as_float(bits);
}
template <>
__device__ __forceinline__ int bits_as<int>(u32 bits) {
    return (int)bits;
}

__device__ __forceinline__ void load8(u32 (&v)[8], u32 address) {
    asm volatile("tcgen05.ld.sync.aligned.32x32b.x8.b32 {%0,%1,%2,%3,%4,%5,%6,%7}, [%8];"
                 : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]), "=r"(v[4]), "=r"(v[5]), "=r"(v[6]),
                   "=r"(v[7])
                 : "r"(address));
    asm volatile("tcgen05.wait::ld.sync.aligned;" ::: "memory");
}

#define ISSUE(kind, type, d, a, b, add)                                                                    \
    asm volatile("{\n.reg .pred add;\nsetp.ne.u32 add, %4, 0;\n"                                           \
                 "tcgen05.mma.cta_group::1.kind::" kind " [%0], %1, %2, %3, add;\n}" ::"r"(d),             \
                 "l"(a), "l"(b), "r"(type), "r"(add)                                                       \
                 : "memory")

#define TCGEN05_KERNEL(name, T, kind, type)                                                                \
    extern "C" __global__ void __launch_bounds__(128, 1) name(T* out, u32 one, u32 noise, u32 passes) {    \
        extern __shared__ u32 dynamic[];                                                                   \
        __shared__ __align__(8) u64 done;                                                                  \
        __shared__ u32 accumulators;                                                                       \
        const u32 tiles = ((u32)__cvta_generic_to_shared(dynamic) + 1023) & ~1023u;                        \
        const u32 done_at = (u32)__cvta_generic_to_shared(&done);                                          \
        for (u32 i = threadIdx.x; i < (M + N) * ROW_BYTES / 4; i += blockDim.x)                            \
            asm volatile("st.shared.u32 [%0], %1;" ::"r"(tiles + 4 * i), "r"(operand(i, one, noise)));     \
        if (threadIdx.x < 32) {                                                                            \
            asm volatile("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], %1;" ::            \
                             "r"((u32)__cvta_generic_to_shared(&accumulators)), "n"(COLUMNS)               \
                         : "memory");                                                                      \
            asm volatile("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;");                    \
        }                                                                                                  \
        if (threadIdx.x == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(done_at) : "memory"); \
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");                                 \
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");                                       \
        asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");                                   \
        __syncthreads();                                                                                   \
        asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");                                    \
        const u32 d = accumulators;                                                                        \
        if (threadIdx.x == 0) {                                                                            \
            const u64 a = descriptor(tiles), b = descriptor(tiles + M * ROW_BYTES);                        \
            _Pragma("unroll 1") for (u32 i = 0; i < passes; ++i) {                                         \
                /* 32 bytes of K are one instruction; the descriptor counts in 16 */                       \
                _Pragma("unroll") for (int k = 0; k < 4; ++k)                                              \
                    ISSUE(kind, type, d, a + 2 * k, b + 2 * k, i | k);                                     \
            }                                                                                              \
            asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::  \
                             "r"(done_at)                                                                  \
                         : "memory");                                                                      \
        }                                                                                                  \
        u32 ended = 0;                                                                                     \
        while (!ended)                                                                                     \
            asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0;\n"        \
                         "selp.u32 %0, 1, 0, p;\n}"                                                        \
                         : "=r"(ended)                                                                     \
                         : "r"(done_at)                                                                    \
                         : "memory");                                                                      \
        asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");                                    \
        T sum = 0;                                                                                         \
        for (u32 column = 0; column < COLUMNS; column += 8) {                                              \
            u32 v[8];                                                                                      \
            load8(v, d + (threadIdx.x / 32 * 32 << 16) + column);                                          \
            _Pragma("unroll") for (int i = 0; i < 8; ++i) sum += bits_as<T>(v[i]);                         \
        }                                                                                                  \
        out[blockIdx.x * blockDim.x + threadIdx.x] = sum;                                                  \
        asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");                                   \
        __syncthreads();                                                                                   \
        if (threadIdx.x < 32)                                                                              \
            asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, %1;" ::"r"(d), "n"(COLUMNS));  \
    }

TCGEN05_KERNEL(tcgen05_bf16, float, "f16", instruction(1, 1, 1))
TCGEN05_KERNEL(tcgen05_fp16, float, "f16", instruction(1, 0, 0))
TCGEN05_KERNEL(tcgen05_tf32, float, "tf32", instruction(1, 2, 2))
TCGEN05_KERNEL(tcgen05_fp8, float, "f8f6f4", instruction(1, 0, 0))
TCGEN05_KERNEL(tcgen05_int8, int, "i8", instruction(2, 1, 1))
