// Which rows a block of 128 of a K dimension holds that is cut into groups.
#pragma once

#include "common/math.cuh"
#include "ptx/types.cuh"
#include "ptx/warp.cuh"

namespace jdg {

constexpr u32 kGroupBlock = 128;  // Every group starts at a multiple of this.

struct RowRange {
  u32 first;
  u32 count;  // 0 if the block belongs to no group.
};

// Returns the sum over this lane and those below it.
__device__ __forceinline__ u32 prefix_sum(u32 value, u32 lane) {
#pragma unroll
  for (u32 step = 1; step < 32; step *= 2) {
    const u32 below = ptx::shuffle(value, lane - step);
    if (lane >= step) value += below;
  }
  return value;
}

// Finds block `block` of the groups, each rounded up to whole blocks; a whole warp must call it.
// Groups lie one after the other in `num_rows` rows. Sizes only the GPU sees: negative ones count
// as 0, and what reaches past the last row is cut, so no row outside is ever named. `num_rows` is
// at most 2^26, so that sums of 32 sizes stay below 2^32.
__device__ __forceinline__ RowRange rows_of_block(const int* sizes, u32 num_groups, u32 num_rows,
                                                  u32 block) {
  const u32 lane = threadIdx.x % 32;
  u32 rows_before = 0;
  u32 blocks_before = 0;
  for (u32 first = 0; first < num_groups; first += 32) {
    const u32 group = first + lane;
    const int size = group < num_groups ? sizes[group] : 0;
    const u32 clamped = size > 0 ? min(static_cast<u32>(size), num_rows) : 0;
    const u32 sum = rows_before + prefix_sum(clamped, lane);
    const u32 start = min(sum - clamped, num_rows);
    const u32 end = min(sum, num_rows);
    const u32 blocks = (end - start + kGroupBlock - 1) / kGroupBlock;
    const u32 blocks_end = blocks_before + prefix_sum(blocks, lane);
    const u32 local = block - (blocks_end - blocks);  // Wraps for groups after this block.
    const u32 found = ptx::vote_ballot(local < blocks);
    if (found != 0) {
      const u32 owner = __ffs(static_cast<int>(found)) - 1;
      const u32 row = ptx::shuffle(start + local * kGroupBlock, owner);
      return {row, min(ptx::shuffle(end, owner) - row, kGroupBlock)};
    }
    rows_before = ptx::shuffle(end, 31);
    blocks_before = ptx::shuffle(blocks_end, 31);
  }
  return {0, 0};
}

}  // namespace jdg
