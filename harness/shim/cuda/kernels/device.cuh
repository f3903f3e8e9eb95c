// What the kernels need of the machine below CUDA C++. A build as plain C++ brings its own and skips this file.
#ifndef JOULEMARK_DEVICE_CUH
#define JOULEMARK_DEVICE_CUH

typedef unsigned int u32;
typedef unsigned long long u64;

// The device-wide timer in ns; it moves by ticks of 32 to 1024 ns.
__device__ __forceinline__ u64 timer_ns() {
    u64 now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)::"memory");
    return now;
}

// Cycles of this SM's own clock.
__device__ __forceinline__ u64 sm_cycles() {
    u64 now;
    asm volatile("mov.u64 %0, %%clock64;" : "=l"(now)::"memory");
    return now;
}

__device__ __forceinline__ u32 sm_id() {
    u32 id;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(id));
    return id;
}

// A load that may hit in L1.
__device__ __forceinline__ u32 load_l1(const u32* address) {
    u32 value;
    asm volatile("ld.global.ca.u32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
    return value;
}

// A load that passes L1 by.
__device__ __forceinline__ u32 load_l2(const u32* address) {
    u32 value;
    asm volatile("ld.global.cg.u32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
    return value;
}

// Make what this thread wrote visible to the host.
__device__ __forceinline__ void publish() { __threadfence_system(); }

#endif
