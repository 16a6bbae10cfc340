// sum += C for a warp's 16 rows, read straight from global memory.
#pragma once

#include "ptx/types.cuh"

namespace jdg {

// What C and D hold: float32, or the bits of bfloat16.
template <bool kFloat32>
struct ElementType {
  using Type = u16;
};
template <>
struct ElementType<true> {
  using Type = float;
};

__device__ __forceinline__ float2 load_pair(const float* pointer) {
  return *reinterpret_cast<const float2*>(pointer);
}

__device__ __forceinline__ float2 load_pair(const u16* bfloat16) {
  const u32 packed = *reinterpret_cast<const u32*>(bfloat16);
  return {__uint_as_float(packed << 16), __uint_as_float(packed & 0xFFFF0000u)};
}

// Adds a warp's 16 rows of C from (row, column) on, of a matrix of `num_rows` x `pitch` elements;
// elements outside are not read. `pitch` is even, so pairs of columns are aligned.
template <typename Element, int kCount>
__device__ __forceinline__ void add_tile(float (&sum)[kCount], const Element* c, u32 row,
                                         u32 column, u32 num_rows, u32 pitch, u32 lane) {
  const u32 first = column + lane % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const u32 r = row + lane / 4 + half * 8;
    const Element* line = c + static_cast<u64>(r) * pitch + first;
#pragma unroll
    for (int group = 0; group < kCount / 4; ++group) {
      if (r < num_rows && first + group * 8 < pitch) {
        const float2 pair = load_pair(line + group * 8);
        sum[4 * group + 2 * half] += pair.x;
        sum[4 * group + 2 * half + 1] += pair.y;
      }
    }
  }
}

}  // namespace jdg
