// Memory: sweeps at full width, and dependent loads that show each level's latency.
#include "device.cuh"

#define SWEEP extern "C" __global__ void __launch_bounds__(512)

__device__ __forceinline__ u64 thread_index() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ u64 thread_count() { return (u64)gridDim.x * blockDim.x; }
__device__ __forceinline__ u32 fold(uint4 v) { return v.x ^ v.y ^ v.z ^ v.w; }

// Fill with random bits: constant data would make memory look faster than it is.
SWEEP fill_random(uint4* out, u64 count, u32 seed) {
    for (u64 i = thread_index(); i < count; i += thread_count()) {
        u32 x = ((u32)i ^ (u32)(i >> 32) ^ seed) * 0x9E3779B1u;
        u32 word[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            x ^= x >> 16;
            x *= 0x7FEB352Du;
            x ^= x >> 15;
            x *= 0x846CA68Bu;
            x ^= x >> 16;
            word[j] = x;
            x += 0x9E3779B9u;
        }
        out[i] = make_uint4(word[0], word[1], word[2], word[3]);
    }
}

// Read all of it; each thread leaves the XOR of what it read. Four loads are in flight before the first use.
SWEEP read_sweep(const uint4* in, u64 count, u32* folded) {
    const u64 step = thread_count();
    u64 i = thread_index();
    u32 sum = 0;
    for (; i + 3 * step < count; i += 4 * step) {
        const uint4 a = in[i], b = in[i + step], c = in[i + 2 * step], d = in[i + 3 * step];
        sum ^= fold(a) ^ fold(b) ^ fold(c) ^ fold(d);
    }
    for (; i < count; i += step) sum ^= fold(in[i]);
    folded[thread_index()] = sum;
}

SWEEP write_sweep(uint4* out, u64 count, u32 value) {
    const uint4 word = make_uint4(value, ~value, value * 0x9E3779B1u, value ^ 0x5555AAAAu);
    for (u64 i = thread_index(); i < count; i += thread_count()) out[i] = word;
}

SWEEP copy_sweep(const uint4* __restrict__ in, uint4* __restrict__ out, u64 count) {
    const u64 step = thread_count();
    u64 i = thread_index();
    for (; i + 3 * step < count; i += 4 * step) {
        const uint4 a = in[i], b = in[i + step], c = in[i + 2 * step], d = in[i + 3 * step];
        out[i] = a;
        out[i + step] = b;
        out[i + 2 * step] = c;
        out[i + 3 * step] = d;
    }
    for (; i < count; i += step) out[i] = in[i];
}

__device__ __forceinline__ float4 scaled(float4 b, float4 c, float s) {
    return make_float4(fmaf(s, c.x, b.x), fmaf(s, c.y, b.y), fmaf(s, c.z, b.z), fmaf(s, c.w, b.w));
}

// a = b + s * c, as in STREAM.
SWEEP triad(float4* __restrict__ a, const float4* __restrict__ b, const float4* __restrict__ c, float s,
            u64 count) {
    const u64 step = thread_count();
    u64 i = thread_index();
    for (; i + step < count; i += 2 * step) {
        const float4 b0 = b[i], b1 = b[i + step], c0 = c[i], c1 = c[i + step];
        a[i] = scaled(b0, c0, s);
        a[i + step] = scaled(b1, c1, s);
    }
    for (; i < count; i += step) a[i] = scaled(b[i], c[i], s);
}

// Link 2^order lines of `words` words into one ring, in the order of a full-period congruential sequence:
// no table is copied from the host, and no line is met twice before all were met.
SWEEP chase_link(u32* lines, u32 order, u32 words) {
    const u64 count = 1ULL << order;
    for (u64 i = thread_index(); i < count; i += thread_count()) {
        const u64 next = ((u64)1664525u * i + 1013904223u) & (count - 1);
        lines[i * words] = (u32)(next * words);
    }
}

#define CHASE(name, load)                                                           \
    extern "C" __global__ void name(const u32* lines, u32 steps, u64* took) {       \
        u32 at = 0;                                                                 \
        const u64 begin_ns = timer_ns();                                            \
        const u64 begin = sm_cycles();                                              \
        for (u32 i = 0; i < steps; ++i) at = load(lines + at);                      \
        took[2] = at; /* before the clocks: they wait for the last load */          \
        took[0] = sm_cycles() - begin;                                              \
        took[1] = timer_ns() - begin_ns;                                            \
    }

// Follow the ring: {cycles, ns, where it ended}.
CHASE(chase_l1, load_l1)
CHASE(chase_l2, load_l2)
