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

// Adds 16 rows of a tile's `columns`, from `row` on, of a matrix C of `num_rows` x `pitch`
// elements; elements outside are not read. `pitch` is even, so pairs of columns are aligned.
template <typename Element, typename Columns, int kCount>
__device__ __forceinline__ void add_tile(float (&sum)[kCount], const Element* c, u32 row,
                                         const Columns& columns, u32 num_rows, u32 pitch,
                                         u32 lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const u32 r = row + lane / 4 + half * 8;
    const Element* line = c + static_cast<u64>(r) * pitch;
#pragma unroll
    for (int group = 0; group < kCount / 4; ++group) {
      const u32 column = columns[group * 8] + lane % 4 * 2;
      if (r < num_rows && column < pitch) {
        const float2 pair = load_pair(line + column);
        sum[4 * group + 2 * half] += pair.x;
        sum[4 * group + 2 * half + 1] += pair.y;
      }
    }
  }
}

}  // namespace jdg
