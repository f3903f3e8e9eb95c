// Arithmetic of the plain pipelines: independent chains of multiply-add that no compiler can shorten.
#include "device.cuh"

// 16 chains hide the pipeline's latency; 16 steps a pass make the loop itself cheap.
#define CHAINS 16
#define STEPS 16

template <typename T, typename Op>
__device__ __forceinline__ void run_chains(T* out, T b, T c, u32 passes, Op op) {
    const u32 thread = blockIdx.x * blockDim.x + threadIdx.x;
    T x[CHAINS];
#pragma unroll
    for (int j = 0; j < CHAINS; ++j) x[j] = (T)(thread % 97 + j);
#pragma unroll 1
    for (u32 i = 0; i < passes; ++i) {
#pragma unroll
        for (int k = 0; k < STEPS; ++k) {
#pragma unroll
            for (int j = 0; j < CHAINS; ++j) x[j] = op(x[j], b, c);
        }
    }
    T sum = x[0];
#pragma unroll
    for (int j = 1; j < CHAINS; ++j) sum += x[j];
    out[thread] = sum;
}

struct FmaF32 {
    __device__ __forceinline__ float operator()(float x, float b, float c) const { return fmaf(x, b, c); }
};
struct FmaF64 {
    __device__ __forceinline__ double operator()(double x, double b, double c) const { return fma(x, b, c); }
};
struct MadI32 {
    __device__ __forceinline__ u32 operator()(u32 x, u32 b, u32 c) const { return x * b + c; }
};

#define CHAIN_KERNEL extern "C" __global__ void __launch_bounds__(256)

CHAIN_KERNEL fma_f32(float* out, float b, float c, u32 passes) { run_chains(out, b, c, passes, FmaF32()); }
CHAIN_KERNEL fma_f64(double* out, double b, double c, u32 passes) { run_chains(out, b, c, passes, FmaF64()); }
CHAIN_KERNEL mad_i32(u32* out, u32 b, u32 c, u32 passes) { run_chains(out, b, c, passes, MadI32()); }
