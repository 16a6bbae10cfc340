// Logits of wide FP4 vectors, which e4m3 codes with one scale cannot be.
//
// After its tiles a math warp looks at its keys again and overwrites what it stored for a wide key,
// or a row with a wide query.
// A logit is computed so if and only if its own row or key asks for it.
#pragma once

#include "kernels/sm90_fp8_fp4_mqa_logits_exact.cuh"
#include "kernels/sm90_fp8_fp4_mqa_logits_types.cuh"
#include "kernels/sm90_fp8_mqa_logits_schedule.cuh"
#include "kernels/sm90_fp8_mqa_logits_sums.cuh"

namespace jdg {

template <Sm90Fp8MqaLogitsConfig kConfig>
class Sm90Fp8Fp4MqaLogitsWide {
 public:
  using Traits = Sm90Fp8Fp4MqaLogitsTraits<kConfig>;
  using Params = typename Traits::Params;
  using Schedule = Sm90Fp8MqaLogitsSchedule<kConfig, Traits>;
  using Element = typename Traits::Element;

  __device__ __forceinline__ Sm90Fp8Fp4MqaLogitsWide(const Params& params, u32 warp, u32 lane)
      : params_(params),
        warp_(warp),
        lane_(lane),
        exact_(params.q_codes, params.q_exponents, params.head_weights, lane) {}

  // Looks at the `remaining` tiles of the CTA, the first of which is `start`.
  __device__ __forceinline__ void tiles(typename Traits::TileStart start, u32 remaining) const {
    u32 skipped = start.tile;
#pragma unroll 1
    for (u32 block = start.block; remaining > 0; ++block) {
      const typename Schedule::Tiles own = Schedule::tiles_of(params_, block);
      const u32 count = own.count == 0 ? 0 : min(own.count - skipped, remaining);
      if (count == 0) continue;
      const u32 rows = wide_rows(block);
#pragma unroll 1
      for (u32 i = 0; i < count; ++i) tile(block, own.first + skipped + i, rows);
      skipped = 0;
      remaining -= count;
    }
  }

 private:
  static constexpr u32 kCodeBytes = Traits::kCodeBytes;
  static constexpr u32 kWarpKeys = 16;
  using Exact = Fp4ExactLogits<kConfig.num_heads, kConfig.head_dim>;
  using Packed = typename Exact::Packed;

  __device__ __forceinline__ Packed key(u32 key) const {
    return {{params_.key_codes + static_cast<u64>(key) * kCodeBytes}, params_.key_exponents[key]};
  }

  // The rows of a block with a wide query, as bits.
  __device__ __forceinline__ u32 wide_rows(u32 block) const {
    u32 rows = 0;
#pragma unroll 1
    for (u32 i = 0; i < Traits::kBlockQ; ++i) {
      const u32 row = block * Traits::kBlockQ + i;
      if (row < params_.num_rows && exact_.has_wide_query(row)) rows |= 1u << i;
    }
    return rows;
  }

  __device__ __forceinline__ void tile(u32 block, u32 tile, u32 wide_rows) const {
    const u32 first = tile * Traits::kBlockKv + warp_ * kWarpKeys;
    const u32 own = first + lane_;
    const bool has_key = lane_ < kWarpKeys && own < params_.num_keys;
    const bool is_wide = has_key && key(own).is_wide();
#pragma unroll 1
    for (u32 i = 0; i < Traits::kBlockQ; ++i) {
      const u32 row = block * Traits::kBlockQ + i;
      const RowTarget target = row_target(params_, row);
      const bool is_in_range = has_key && own - target.keys.start < target.keys.count;
      u32 keys = ptx::vote_ballot(is_in_range && (is_wide || (wide_rows >> i & 1) != 0));
#pragma unroll 1
      for (u32 j = 0; keys != 0; ++j, keys >>= 1) {
        if ((keys & 1) != 0) rewrite(row, first + j, target.base);
      }
    }
  }

  __device__ __forceinline__ void rewrite(u32 row, u32 index, u64 base) const {
    const float logit = exact_.logit(row, key(index));
    Element* logits = static_cast<Element*>(params_.logits);
    if (lane_ == 0) Sm90Fp8MqaLogitsSums<Traits>::put(logits + (base + index), logit);
  }

  const Params& params_;
  u32 warp_;
  u32 lane_;
  Exact exact_;
};

}  // namespace jdg
