// Enough of CUDA C++ for g++ to build the kernels: one thread at a time, barriers do nothing.
#pragma once
#define JOULEMARK_DEVICE_CUH  // this file stands for device.cuh

#include <cmath>
#include <ctime>

typedef unsigned int u32;
typedef unsigned long long u64;

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct Index {
    u32 x, y, z;
};
inline thread_local Index threadIdx, blockIdx, blockDim, gridDim;

struct alignas(16) uint4 {
    u32 x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// The stand-in's truth: its timer ticks every TICK_NS, its SMs run at SM_GHZ.
constexpr u64 TICK_NS = 32;
constexpr double SM_GHZ = 1.5;
constexpr u32 MULTIPROCESSORS = 4;

inline u64 exact_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000ULL + (u64)now.tv_nsec;
}
inline u64 timer_ns() { return exact_ns() / TICK_NS * TICK_NS; }
inline u64 sm_cycles() { return (u64)((double)(exact_ns() % (1ULL << 50)) * SM_GHZ); }
inline u32 sm_id() { return blockIdx.x % MULTIPROCESSORS; }
inline u32 load_l1(const u32* address) { return *address; }
inline u32 load_l2(const u32* address) { return *address; }
inline void publish() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline u64 atomicAdd(u64* address, u64 value) { return __atomic_fetch_add(address, value, __ATOMIC_SEQ_CST); }
inline void __syncthreads() {}
