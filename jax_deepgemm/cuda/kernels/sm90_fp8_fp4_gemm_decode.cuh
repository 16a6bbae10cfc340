// How the Hopper FP8 GEMM comes to e4m3 rows of B where B has FP4 codes.
//
// TMA loads the codes of a K block into the second half of the rows' place. A warpgroup decodes
// them, each of its warps those of every fourth stage, so that the latencies of four blocks
// overlap; 16 rows at a time, two lanes a row. The exponents of a tile's K block are folded into
// the codes, relative to the largest of them, so that the block has one scale and the main loop is
// that of FP8. Blocks whose exponents differ by more than e4m3 can hold (wide ones) stay as they
// are, and math scales 32 of K at a time.
#pragma once

#include "common/block_scale.cuh"
#include "common/promote.cuh"
#include "kernels/sm90_fp8_fp4_gemm_types.cuh"
#include "mma/sm90_fp8_step.cuh"

namespace jdg {

template <Sm90Fp8GemmConfig kConfig, typename Work>
struct Sm90Fp8Fp4GemmDecode {
  using Traits = Sm90Fp8GemmTraits<kConfig, Work>;
  using Params = typename Work::Params;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;
  static constexpr int kBlockN = Traits::kBlockN;
  static constexpr int kNumWarps = 4;
  static constexpr int kNumGroups = kBlockK / kFp4Group;  // Of a row and K block.
  static constexpr u32 kCodeBytes = kBlockK / 2;          // The same.
  static constexpr u32 kRowsAtOnce = 16;
  static constexpr int kNumRows = kBlockN / 32;  // Of a lane.
  // With those of the warps that load, no more than there are.
  static constexpr bool kManySums = kConfig.num_slabs == 2 && kBlockN == 128;
  static constexpr int kMathRegisters = kManySums ? 216 : Traits::kGroupsRows ? 200 : 208;
  static constexpr int kRegisters = kManySums ? 56 : 64;

  // Decodes every tile; one warpgroup.
  __device__ static __forceinline__ void run(const Params& params, Smem& smem) {
    ptx::release_registers<kRegisters>();
    const u32 lane = threadIdx.x % 32;
    const u32 warp = ptx::shuffle(threadIdx.x / 32 % kNumWarps, 0);  // The same in all lanes.
    const u32 rank = Traits::cta_rank();
    Ring ring(smem.stages);
    for (auto tiles = Traits::scheduler(params, smem); tiles.valid(); tiles.advance()) {
      const typename Traits::Tile tile = tiles.tile();
      Exponents exponents(params, tile.group, Traits::columns(tile, rank).main + lane,
                          blocks_to_own(ring.index(), warp));
#pragma unroll 1
      for (u32 k_block = 0; k_block < params.num_k_blocks; ++k_block, ring.advance()) {
        if (ring.index() % kNumWarps != warp) continue;
        // One warp waits for all phases of a stage: none can pass unseen.
        wait(ring.stage().full, ring.parity());
        exponents.store(ring.stage(), lane);
        exponents.load(params, k_block + 1 + blocks_to_own(ring.index() + 1, warp));
        decode(ring.stage(), params.num_fp4_groups - k_block * kNumGroups, lane);
      }
    }
  }

  __device__ static __forceinline__ bool is_wide(const Stage& stage) {
    return stage.sfb[0][1] != 0;
  }

  // Adds a wide block to the sums of 64 rows of A from `first_row` on, 32 of K at a time. Its
  // product in `acc`, of no use, may be on its way.
  template <int kCount>
  __device__ static __forceinline__ void add_groups(const Stage& stage, u32 first_row, u32 lane,
                                                    RowScales rows, float (&acc)[kCount],
                                                    float (&sum)[kCount], bool first) {
    wait_block_mma<0>(acc);
    const u32 a = ptx::smem_address(stage.a[0]) + first_row * kBlockK;
    const u32 b = ptx::smem_address(stage.b[0]);
#pragma unroll 1
    for (int i = 0; i < kNumGroups; ++i) {
      start_step_mma<kBlockN>(acc, a, b, i);
      wait_block_mma<0>(acc);
#pragma unroll
      for (int group = 0; group < kCount / 4; ++group) {
        const u32* packed = &stage.sfb.exponents[group * 8 + lane % 4 * 2];
        const float2 columns = {group_scale(packed[0], i), group_scale(packed[1], i)};
        promote_group(sum, acc, group, rows, columns, first && i == 0);
      }
    }
  }

 private:
  // K blocks from the one in stage `index`, or behind the last stage, to one in a stage of `warp`.
  __device__ static __forceinline__ u32 blocks_to_own(u32 index, u32 warp) {
    const u32 ahead = (warp - index) % kNumWarps;
    const bool wraps = index + ahead >= kConfig.num_stages;
    return wraps ? kConfig.num_stages - index + warp : ahead;
  }

  // The exponents of a lane's rows of B in this warp's K blocks, four to a row; those of the next
  // are on their way. A row that is not there has the last one's: its codes are zeros, and its
  // column is not stored.
  class Exponents {
   public:
    __device__ __forceinline__ Exponents(const Params& params, u32 group, u32 row, u32 k_block)
        : group_(params.exponents +
                 static_cast<u64>(group) * params.sfb_rows * params.num_k_blocks),
          row_(row) {
      load(params, k_block);
    }

    __device__ __forceinline__ void load(const Params& params, u32 k_block) {
      if (k_block >= params.num_k_blocks) return;
#pragma unroll
      for (int i = 0; i < kNumRows; ++i) {
        const u32 row = min(row_ + 32 * i, params.sfb_rows - 1);
        packed_[i] = group_[row * params.num_k_blocks + k_block];
      }
    }

    __device__ __forceinline__ void store(Stage& stage, u32 lane) const {
#pragma unroll
      for (int i = 0; i < kNumRows; ++i) stage.sfb.exponents[lane + 32 * i] = packed_[i];
    }

   private:
    const u32* group_;
    u32 row_;
    u32 packed_[kNumRows] = {};
  };

  // What a lane takes of a row at a time, four words a group: 16 rows are the warp's.
  struct Codes {
    uint4 groups[kNumGroups / 2];

    __device__ __forceinline__ void load(const Stage& stage, u32 row, u32 first_group) {
      const u8* codes = stage.b[0] + (kBlockN + row) * kCodeBytes;
#pragma unroll
      for (u32 i = 0; i < kNumGroups / 2; ++i) {
        // The 64-byte swizzle of TMA.
        groups[i] = *reinterpret_cast<const uint4*>(codes + (first_group + i ^ row / 2 % 4) * 16);
      }
    }

    __device__ __forceinline__ bool has_values(int i) const {
      const uint4& x = groups[i];
      return ((x.x | x.y | x.z | x.w) & 0x77777777) != 0;
    }
  };

  // The largest exponent of some rows, and how far the smallest is from kNanExponent. Groups with
  // scale zero, or without a scale, do not count.
  struct Extremes {
    u32 largest;
    u32 depth;

    __device__ __forceinline__ void include(u32 exponent) {
      largest = max(largest, exponent);
      depth = max(depth, kNanExponent - exponent);
    }

    __device__ __forceinline__ bool is_wide() const {
      return largest + depth > kNanExponent + kMostFp4Shift;
    }
  };

  // The scale of a group that is not folded. That of one without a scale is NaN by its codes.
  __device__ static __forceinline__ float group_scale(u32 packed, int i) {
    return fp4_scale(min(fp4_exponent(packed, i), kNanExponent - 1));
  }

  // `num_groups` of a row belong to K.
  __device__ static __forceinline__ void decode(Stage& stage, u32 num_groups, u32 lane) {
    __syncwarp();  // Exponents are there.
    Extremes extremes = extremes_of_tile<false>(stage, num_groups, lane);
    // Groups of zeros may have any exponent, and spoil no block.
    if (extremes.is_wide()) extremes = extremes_of_tile<true>(stage, num_groups, lane);
    const bool wide = extremes.is_wide();
    const u32 first_group = first_group_of(lane);
#pragma unroll 1
    for (u32 row = lane % kRowsAtOnce; row < kBlockN; row += kRowsAtOnce) {
      Codes codes;
      codes.load(stage, row, first_group);
      // The last 16 rows lie over their own codes; no others lie over codes still to be read.
      __syncwarp();
      write(stage, codes, wide, extremes.largest, num_groups, row, first_group);
    }
    if (lane == 0) {
      stage.sfb[0][0] = fp4_scale(extremes.largest);
      stage.sfb[0][1] = wide;
    }
    ptx::fence_proxy_async();
    __syncwarp();
    if (lane == 0) ptx::mbarrier_arrive(stage.sfb.decoded);
  }

  // A lane has one half of the groups of a row.
  __device__ static __forceinline__ u32 first_group_of(u32 lane) {
    return lane / kRowsAtOnce * (kNumGroups / 2);
  }

  // Those of all groups, or of those alone that are not zeros.
  template <bool kLooksAtCodes>
  __device__ static __forceinline__ Extremes extremes_of_tile(const Stage& stage, u32 num_groups,
                                                              u32 lane) {
    const u32 first_group = first_group_of(lane);
    Extremes mine = {0, 0};
#pragma unroll 1
    for (u32 row = lane % kRowsAtOnce; row < kBlockN; row += kRowsAtOnce) {
      Codes codes;
      if constexpr (kLooksAtCodes) codes.load(stage, row, first_group);
      const u32 packed = stage.sfb.exponents[row];
#pragma unroll
      for (u32 i = 0; i < kNumGroups / 2; ++i) {
        const u32 exponent = fp4_exponent(packed, first_group + i);
        const bool is_number = exponent != 0 && exponent != kNanExponent;
        const bool counts = !kLooksAtCodes || codes.has_values(i);
        if (is_number && counts && first_group + i < num_groups) mine.include(exponent);
      }
    }
    return {max_of_lanes<32>(mine.largest), max_of_lanes<32>(mine.depth)};
  }

  __device__ static __forceinline__ void write(Stage& stage, const Codes& codes, bool wide,
                                               u32 largest, u32 num_groups, u32 row,
                                               u32 first_group) {
    u8* line = stage.b[0] + row * kBlockK;
    const u32 packed = stage.sfb.exponents[row];
#pragma unroll
    for (u32 i = 0; i < kNumGroups / 2; ++i) {
      const u32 group = first_group + i;
      const u32 exponent = fp4_exponent(packed, group);
      const u32 shift = wide ? 0 : min(largest - exponent, kMostFp4Shift);
      Fp4Magnitudes magnitudes = fp4_magnitudes(shift);
      if (exponent == 0) magnitudes = {0, 0};
      if (exponent == kNanExponent && group < num_groups) magnitudes = fp4_nans();
      const uint4& words = codes.groups[i];
      const u32 chunk = 2 * group ^ row % 8;
      write_chunk(line, chunk, words.x, words.y, magnitudes);
      write_chunk(line, chunk ^ 1, words.z, words.w, magnitudes);
    }
  }

  // 16 codes to chunk `chunk` of a row, where wgmma's 128-byte swizzle has it.
  __device__ static __forceinline__ void write_chunk(u8* line, u32 chunk, u32 first, u32 second,
                                                     Fp4Magnitudes magnitudes) {
    const uint2 left = decode_fp4(first, magnitudes);
    const uint2 right = decode_fp4(second, magnitudes);
    *reinterpret_cast<uint4*>(line + chunk * 16) = {left.x, left.y, right.x, right.y};
  }
};

}  // namespace jdg
