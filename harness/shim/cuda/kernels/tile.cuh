// Operands of the matrix units: ones, for which the result is known, or random, as the power of real work needs.
#ifndef JOULEMARK_TILE_CUH
#define JOULEMARK_TILE_CUH

// `one` is the number 1 in each part of the word; `noise` are the bits that vary (sign and mantissa), or 0.
__device__ __forceinline__ u32 operand(u32 index, u32 one, u32 noise) {
    u32 x = (index + 1) * 0x9E3779B1u;
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    return one ^ (x & noise);
}

#endif
