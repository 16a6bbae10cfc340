// How the Hopper FP8 GEMM comes to e4m3 rows of B where B has FP4 codes.
//
// TMA loads the codes of a K block into the second half of the rows' place. A warpgroup decodes
// them: all read their codes, then all write. The exponents of a tile's K block are folded into the
// codes, relative to the largest of them, so that the block has one scale and the main loop is that
// of FP8. Blocks whose exponents differ by more than e4m3 can hold (wide ones) stay as they are,
// and math scales 32 of K at a time. Codes are looked at for that only where exponents alone make a
// block wide: what is compared is known before the codes are there.
#pragma once

#include "common/block_scale.cuh"
#include "common/promote.cuh"
#include "kernels/sm90_fp8_fp4_gemm_types.cuh"
#include "mma/sm90_fp8_step.cuh"
#include "ptx/named_barrier.cuh"

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
  static constexpr int kNumThreads = kNumWarps * 32;
  static constexpr u32 kBarrier = 1;
  // Halves of rows that a thread decodes; the last may be of no row.
  static constexpr int kNumHalves = (2 * kBlockN + kNumThreads - 1) / kNumThreads;
  static constexpr int kHalfGroups = kNumGroups / 2;
  // With those of the warps that load, no more than there are.
  static constexpr bool kManySums = kConfig.num_slabs == 2 && kBlockN == 128;
  static constexpr int kMathRegisters = kManySums ? 216 : Traits::kGroupsRows ? 200 : 208;
  static constexpr int kRegisters = kManySums ? 56 : 64;

  // Decodes every tile; one warpgroup.
  __device__ static __forceinline__ void run(const Params& params, Smem& smem) {
    ptx::release_registers<kRegisters>();
    const u32 thread = threadIdx.x % 128;
    const u32 rank = Traits::cta_rank();
    Ring ring(smem.stages);
    for (auto tiles = Traits::scheduler(params, smem); tiles.valid(); tiles.advance()) {
      const typename Traits::Tile tile = tiles.tile();
      Exponents exponents(params, tile.group, Traits::columns(tile, rank).main + row_of(thread));
#pragma unroll 1
      for (u32 k_block = 0; k_block < params.num_k_blocks; ++k_block) {
        const u32 packed = exponents.take(params, k_block);
        const u32 num_groups = params.num_fp4_groups - k_block * kNumGroups;
        const Extremes extremes = extremes_of_warp(packed, num_groups);
        Stage& stage = ring.stage();
        wait(stage.full, ring.parity());
        decode(stage, packed, extremes, num_groups, thread);
        ring.advance();
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
  // The exponents of a row of B, four to a K block; those of the next are on their way. A row that
  // is not there has the last one's: its codes are zeros, and its column is not stored.
  class Exponents {
   public:
    __device__ __forceinline__ Exponents(const Params& params, u32 group, u32 row)
        : line_(params.exponents +
                (static_cast<u64>(group) * params.sfb_rows + min(row, params.sfb_rows - 1)) *
                    params.num_k_blocks),
          packed_(line_[0]) {}

    // Those of `k_block`, one block after the other.
    __device__ __forceinline__ u32 take(const Params& params, u32 k_block) {
      const u32 packed = packed_;
      if (k_block + 1 < params.num_k_blocks) packed_ = line_[k_block + 1];
      return packed;
    }

   private:
    const u32* line_;
    u32 packed_;
  };

  // Half a row of codes, four words a group.
  struct Half {
    u32 row;
    u32 first_group;
    uint4 groups[kHalfGroups];

    // The `index`th of the thread. Rows lie in the threads' order, so that no two threads of a
    // quarter warp meet in a bank.
    __device__ __forceinline__ void choose(int index, u32 thread) {
      const u32 half = index * kNumThreads + thread;
      first_group = half < kBlockN ? 0 : kHalfGroups;
      row = half < kBlockN ? half : half - kBlockN;
    }

    __device__ __forceinline__ bool exists() const {
      return 2 * kBlockN % kNumThreads == 0 || row < kBlockN;
    }

    __device__ __forceinline__ void load(const Stage& stage) {
      const u8* codes = stage.b[0] + (kBlockN + row) * kCodeBytes;
#pragma unroll
      for (u32 i = 0; i < kHalfGroups; ++i) {
        // The 64-byte swizzle of TMA.
        const u32 chunk = first_group + i ^ row / 2 % 4;
        groups[i] = *reinterpret_cast<const uint4*>(codes + chunk * 16);
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

  // Threads without a row of their own look at the last.
  __device__ static __forceinline__ u32 row_of(u32 thread) { return min(thread, kBlockN - 1u); }

  // `packed` are the exponents of the thread's row, `extremes` those of the warp's rows;
  // `num_groups` of a row belong to K.
  __device__ static __forceinline__ void decode(Stage& stage, u32 packed, Extremes extremes,
                                                u32 num_groups, u32 thread) {
    if (thread < kBlockN) stage.sfb.exponents[thread] = packed;
    Half halves[kNumHalves];
#pragma unroll
    for (int i = 0; i < kNumHalves; ++i) {
      halves[i].choose(i, thread);
      if (halves[i].exists()) halves[i].load(stage);
    }
    // All threads have read their codes when it returns.
    extremes = extremes_of_tile(stage.sfb.extremes[0], extremes, thread);
    if (extremes.is_wide()) {
      // Groups of zeros may have any exponent, and spoil no block.
      extremes = extremes_of_values(stage, halves, num_groups, thread);
    }
    const bool wide = extremes.is_wide();
#pragma unroll
    for (const Half& half : halves) {
      if (half.exists()) write(stage, half, wide, extremes.largest, num_groups);
    }
    if (thread == 0) {
      stage.sfb[0][0] = fp4_scale(extremes.largest);
      stage.sfb[0][1] = wide;
    }
    ptx::fence_proxy_async();
    __syncwarp();
    if (thread % 32 == 0) ptx::mbarrier_arrive(stage.sfb.decoded);
  }

  // Those of the warp's rows, a thread a row, by exponents alone.
  __device__ static __forceinline__ Extremes extremes_of_warp(u32 packed, u32 num_groups) {
    Extremes mine = {0, 0};
#pragma unroll
    for (u32 i = 0; i < kNumGroups; ++i) {
      const u32 exponent = fp4_exponent(packed, i);
      if (is_number(exponent) && i < num_groups) mine.include(exponent);
    }
    return {max_of_lanes<32>(mine.largest), max_of_lanes<32>(mine.depth)};
  }

  // Those of all rows, without groups of zeros.
  __device__ static __forceinline__ Extremes extremes_of_values(Stage& stage,
                                                                const Half (&halves)[kNumHalves],
                                                                u32 num_groups, u32 thread) {
    Extremes mine = {0, 0};
#pragma unroll
    for (const Half& half : halves) {
      if (!half.exists()) continue;
      const u32 packed = stage.sfb.exponents[half.row];
#pragma unroll
      for (u32 i = 0; i < kHalfGroups; ++i) {
        const u32 exponent = fp4_exponent(packed, half.first_group + i);
        const bool counts = half.first_group + i < num_groups && half.has_values(i);
        if (is_number(exponent) && counts) mine.include(exponent);
      }
    }
    mine = {max_of_lanes<32>(mine.largest), max_of_lanes<32>(mine.depth)};
    return extremes_of_tile(stage.sfb.extremes[1], mine, thread);
  }

  __device__ static __forceinline__ bool is_number(u32 exponent) {
    return exponent != 0 && exponent != kNanExponent;
  }

  // The extremes of all warps, which meet here.
  __device__ static __forceinline__ Extremes extremes_of_tile(uint2 (&of_warps)[kNumWarps],
                                                              Extremes mine, u32 thread) {
    if (thread % 32 == 0) of_warps[thread / 32] = {mine.largest, mine.depth};
    ptx::barrier_sync(kBarrier, kNumThreads);
    Extremes all = {0, 0};
#pragma unroll
    for (int warp = 0; warp < kNumWarps; ++warp) {
      const uint2 other = of_warps[warp];
      all = {max(all.largest, other.x), max(all.depth, other.y)};
    }
    return all;
  }

  __device__ static __forceinline__ void write(Stage& stage, const Half& half, bool wide,
                                               u32 largest, u32 num_groups) {
    u8* line = stage.b[0] + half.row * kBlockK;
    const u32 packed = stage.sfb.exponents[half.row];
#pragma unroll
    for (u32 i = 0; i < kHalfGroups; ++i) {
      const u32 group = half.first_group + i;
      const u32 exponent = fp4_exponent(packed, group);
      const u32 shift = wide ? 0 : min(largest - exponent, kMostFp4Shift);
      Fp4Magnitudes magnitudes = fp4_magnitudes(shift);
      if (exponent == 0) magnitudes = {0, 0};
      if (exponent == kNanExponent && group < num_groups) magnitudes = fp4_nans();
      const uint4& words = half.groups[i];
      const u32 chunk = 2 * group ^ half.row % 8;
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
