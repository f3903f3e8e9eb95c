// Time: the timer's tick, stamps, the gate, spins of known length, an empty kernel and a barrier.
#include "device.cuh"

extern "C" __global__ void empty() {}

// Note the timer each time it moves. A timer that stands still ends the probe after `patience` reads; what was
// not seen stays as the host left it.
extern "C" __global__ void tick_probe(u64* moments, u32 count, u32 patience) {
    u64 last = timer_ns();
    for (u32 i = 0; i < count; ++i) {
        u64 now = last;
        for (u32 reads = 0; now == last && reads < patience; ++reads) now = timer_ns();
        if (now == last) return;
        moments[i] = last = now;
    }
}

struct Stamp {
    u64 timer_ns;
    u64 sm_cycles;
    u32 sm;
    u32 tag;
};

// One stamp a block into a ring of mask + 1 places, a power of two. The place is counted on the device, so a
// captured graph stamps anew at each replay.
extern "C" __global__ void stamp(u64* written, Stamp* ring, u32 mask, u32 tag) {
    if (threadIdx.x != 0) return;
    const u64 cycles = sm_cycles();
    const u64 now = timer_ns();
    const u64 place = atomicAdd(written, 1ULL) & mask;
    ring[place].timer_ns = now;
    ring[place].sm_cycles = cycles;
    ring[place].sm = sm_id();
    ring[place].tag = tag;
}

// Hold the stream until the host opens, or until the deadline: outcome 1 is opened, 2 expired.
extern "C" __global__ void gate(const volatile u32* opened, volatile u32* outcome, u64 deadline_ns) {
    const u64 begin = timer_ns();
    while (*opened == 0) {
        if (timer_ns() - begin >= deadline_ns) {
            *outcome = 2;
            publish();
            return;
        }
    }
    *outcome = 1;
    publish();
}

// Spin for a number of cycles, and tell how long it took on both clocks: {cycles, ns}.
extern "C" __global__ void spin(u64 cycles, u64* took) {
    const u64 begin_ns = timer_ns();
    const u64 begin = sm_cycles();
    u64 now;
    do now = sm_cycles();
    while (now - begin < cycles);
    took[0] = now - begin;
    took[1] = timer_ns() - begin_ns;
}

// Barriers of one block, one after another: cycles for all of them.
extern "C" __global__ void barrier(u32 steps, u64* took) {
    __syncthreads();
    const u64 begin = sm_cycles();
    for (u32 i = 0; i < steps; ++i) __syncthreads();
    if (threadIdx.x == 0) took[0] = sm_cycles() - begin;
}
