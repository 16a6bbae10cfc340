// Logits of wide FP4 vectors over pages of keys, which e4m3 codes with one scale cannot be.
//
// After its tiles a math warp looks at its keys again and overwrites what it stored for a wide key,
// or a row with a wide query. A logit is computed so if and only if its own row or key asks for it.
#pragma once

#include "kernels/sm90_fp8_fp4_mqa_logits_exact.cuh"
#include "kernels/sm90_fp8_fp4_paged_mqa_logits_types.cuh"
#include "kernels/sm90_fp8_mqa_logits_sums.cuh"
#include "kernels/sm90_fp8_paged_mqa_logits_load.cuh"

namespace jdg {

template <Sm90Fp8Fp4PagedMqaLogitsConfig kConfig>
class Sm90Fp8Fp4PagedMqaLogitsWide {
 public:
  using Traits = Sm90Fp8Fp4PagedMqaLogitsTraits<kConfig>;
  using Params = typename Traits::Params;
  using Schedule = Sm90Fp8PagedMqaLogitsSchedule<kConfig.decoded(), Traits>;
  using Table = typename Sm90Fp8PagedMqaLogitsLoad<kConfig.decoded(), Traits>::Table;
  using Block = typename Schedule::Block;
  using Element = typename Traits::Element;

  __device__ __forceinline__ Sm90Fp8Fp4PagedMqaLogitsWide(const Params& params, u32 warp, u32 lane)
      : params_(params),
        warp_(warp),
        lane_(lane),
        exact_(params.q_codes, params.q_exponents, params.head_weights, lane) {}

  // Looks at the `remaining` tiles of the CTA, the first of which is `start`.
  __device__ __forceinline__ void tiles(typename Traits::TileStart start, u32 remaining) const {
    typename Schedule::Run run = {start.candidate};
    u32 skipped = start.tile;
    u32 own = warp_ / 4;  // The warpgroup's next tile, counted from the block's first.
    const u32 end = Schedule::num_candidates(params_);
#pragma unroll 1
    for (u32 candidate = start.candidate; remaining > 0 && candidate < end; ++candidate) {
      Schedule::enter_run(params_, candidate, run);
      const Block block = Schedule::block_at(params_, candidate, run);
      const u32 all = Schedule::tiles_of(params_, block);
      if (all == 0) continue;
      const u32 count = min(all - skipped, remaining);
      const u32 rows = own < count ? wide_rows(block) : 0;
      const Table table = Load::table_of(params_, block, all);
#pragma unroll 1
      for (; own < count; own += kNumWarpgroups) tile(block, table, skipped + own, rows);
      own -= count;
      skipped = 0;
      remaining -= count;
    }
  }

 private:
  using Load = Sm90Fp8PagedMqaLogitsLoad<kConfig.decoded(), Traits>;
  using Exact = Fp4ExactLogits<kConfig.num_heads, kConfig.head_dim>;
  using Packed = typename Exact::Packed;
  static constexpr u32 kNumWarpgroups = kConfig.num_math_warpgroups;
  static constexpr u32 kWarpKeys = 16;

  // A key of a block; of one that is not there, any.
  __device__ __forceinline__ Packed key(const Table& table, u32 key) const {
    const u64 page = table.page(key / kConfig.block_kv);
    const u32 own = key % kConfig.block_kv;
    const u8* bytes = params_.page_bytes + page * Traits::kPageBytes;
    const u32* exponents = reinterpret_cast<const u32*>(bytes + Traits::kPageKeyBytes);
    return {{bytes + own * Traits::kVectorBytes}, exponents[own]};
  }

  // The rows of a block with a wide query, as bits.
  __device__ __forceinline__ u32 wide_rows(Block block) const {
    u32 rows = 0;
#pragma unroll 1
    for (u32 i = 0; i < block.num_rows; ++i) {
      if (exact_.has_wide_query(block.row + i)) rows |= 1u << i;
    }
    return rows;
  }

  __device__ __forceinline__ void tile(Block block, const Table& table, u32 tile,
                                       u32 wide_rows) const {
    const u32 first = tile * Traits::kBlockKv + warp_ % 4 * kWarpKeys;
    const u32 own = first + lane_;
    const bool has_key = lane_ < kWarpKeys;
    const bool is_wide = has_key && key(table, own).is_wide();
#pragma unroll 1
    for (u32 i = 0; i < block.num_rows; ++i) {
      const u32 row = block.row + i;
      const bool is_in_range = has_key && own < key_range(params_, row).count;
      u32 keys = ptx::vote_ballot(is_in_range && (is_wide || (wide_rows >> i & 1) != 0));
#pragma unroll 1
      for (u32 j = 0; keys != 0; ++j, keys >>= 1) {
        if ((keys & 1) != 0) rewrite(row, table, first + j);
      }
    }
  }

  __device__ __forceinline__ void rewrite(u32 row, const Table& table, u32 index) const {
    const float logit = exact_.logit(row, key(table, index));
    Element* logits = static_cast<Element*>(params_.logits) + static_cast<u64>(row) * params_.width;
    if (lane_ == 0) Sm90Fp8MqaLogitsSums<typename Traits::Decoded>::put(logits + index, logit);
  }

  const Params& params_;
  u32 warp_;
  u32 lane_;
  Exact exact_;
};

}  // namespace jdg
