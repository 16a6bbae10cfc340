// Sums over the parts of K, and the way to the results, of the Hopper kernel for a product with
// sums of squares.
#pragma once

#include "kernels/sm90_hc_prenorm_gemm_types.cuh"
#include "ptx/cluster.cuh"
#include "ptx/mbarrier_count.cuh"
#include "ptx/named_barrier.cuh"
#include "ptx/warp.cuh"

namespace jdg {

// A fragment is four numbers of each thread of a warp, for its 16 rows: those of 8 columns, rows
// lane / 4 and 8 further, columns 2 * (lane % 4) and the next; or, behind all columns, the sums of
// squares of rows lane / 8, 4, 8 and 12 further. Fragments of a tile are dealt out to the CTAs of
// the cluster, which sum them over the parts: those of each team of each CTA.
template <Sm90HcPrenormGemmConfig kConfig>
class Sm90HcPrenormGemmStore {
 public:
  using Traits = Sm90HcPrenormGemmTraits<kConfig>;
  using Exchange = typename Traits::Exchange;
  using Fragments = typename Traits::Fragments;
  using Smem = typename Traits::Smem;
  using Sums = typename Traits::Sums;
  using Work = typename Traits::Work;

  __device__ __forceinline__ Sm90HcPrenormGemmStore(const Sm90HcPrenormGemmParams& params,
                                                    const Work& work, Smem& smem, u32 warp)
      : params_(params), work_(work), smem_(smem), warp_(warp), lane_(threadIdx.x % 32) {}

  // Says how much the parts will send; before they can.
  __device__ static __forceinline__ void expect(Smem& smem, u32 rank) {
    ptx::mbarrier_init(smem.all_received, 1);
    const u32 own = rank < kCount ? (kCount - 1 - rank) / kNumSplits + 1 : 0;
    ptx::mbarrier_arrive_expect_tx(smem.all_received, own * kNumParts * sizeof(uint4[32]));
  }

  // Sums up squares over the lanes that have a row: each then has all of it. Products with the
  // leading and the trailing parts of B meet in the first half of `sum`.
  __device__ static __forceinline__ void finish(Sums& sum, float (&squares)[4]) {
#pragma unroll
    for (int i = 0; i < Traits::kBlockN / 2; ++i) sum[i] += sum[i + Traits::kBlockN / 2];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (u32 mask = 1; mask < 8; mask *= 2) {
        squares[i] += __uint_as_float(ptx::shuffle_xor(__float_as_uint(squares[i]), mask));
      }
    }
  }

  // Stores this CTA's share of the tile. With one part that is all of it; else every CTA of the
  // cluster must be done with its stages. Each fragment is summed by one CTA, in the order of the
  // parts, so that the result does not depend on which of them is first.
  __device__ __forceinline__ void store(const Sums& sum, const float (&squares)[4]) const {
    constexpr int kGroups = Traits::kBlockN / 8;
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const int i = 4 * group;
      pass_on({sum[i], sum[i + 1], sum[i + 2], sum[i + 3]}, group);
    }
    pass_on({squares[0], squares[1], squares[2], squares[3]}, kGroups);
    if constexpr (kNumParts > 1) receive();
  }

 private:
  static constexpr u32 kNumSplits = kConfig.num_splits;
  static constexpr u32 kNumParts = Traits::kNumParts;
  static constexpr u32 kNumMathWarps = Traits::kMathThreads / 32;
  static constexpr u32 kNumTeamWarps = Traits::kTeamThreads / 32;
  static constexpr u32 kCount = Fragments::kCount;

  // Stores a fragment of this warp, or sends it to the CTA that sums it.
  __device__ __forceinline__ void pass_on(const float4& x, u32 group) const {
    if constexpr (kNumParts == 1) {
      store_fragment(x, group, warp_);
    } else {
      const u32 part = work_.rank * kConfig.num_teams + warp_ / kNumTeamWarps;
      const u32 fragment = group * kNumTeamWarps + warp_ % kNumTeamWarps;
      const u32 owner = fragment % kNumSplits;
      uint4& place =
          smem_.exchange().received[part * Fragments::kOwn + fragment / kNumSplits][lane_];
      const uint4 bits = {__float_as_uint(x.x), __float_as_uint(x.y), __float_as_uint(x.z),
                          __float_as_uint(x.w)};
      if constexpr (kNumSplits == 1) {
        place = bits;
      } else {
        ptx::store_async(at(&place, owner), bits.x, bits.y, bits.z, bits.w,
                         at(&smem_.all_received, owner));
      }
    }
  }

  __device__ __forceinline__ void receive() const {
    if constexpr (kNumSplits == 1) {
      ptx::barrier_sync(Traits::kMathBarrier, Traits::kMathThreads);
    } else {
      wait_for_splits();
    }
#pragma unroll 1
    for (u32 own = warp_; own < Fragments::kOwn; own += kNumMathWarps) {
      const u32 fragment = own * kNumSplits + work_.rank;
      if (fragment >= kCount) break;
      float4 x = {0, 0, 0, 0};
#pragma unroll
      for (u32 part = 0; part < kNumParts; ++part) {
        const uint4 sums = smem_.exchange().received[part * Fragments::kOwn + own][lane_];
        x.x += __uint_as_float(sums.x);
        x.y += __uint_as_float(sums.y);
        x.z += __uint_as_float(sums.z);
        x.w += __uint_as_float(sums.w);
      }
      store_fragment(x, fragment / kNumTeamWarps, fragment % kNumTeamWarps);
    }
  }

  __device__ __forceinline__ void wait_for_splits() const {
    u32 polls = 0;
    while (!ptx::mbarrier_try_wait_cluster(smem_.all_received, 0)) {
      if (++polls == kMaxPolls) __trap();
    }
  }

  __device__ static __forceinline__ u32 at(const void* place, u32 rank) {
    return ptx::map_to_cta(ptx::smem_address(place), rank);
  }

  // Stores a fragment of a team's warp.
  __device__ __forceinline__ void store_fragment(const float4& x, u32 group, u32 warp) const {
    const u32 first = work_.row + warp * 16;
    if (group == Traits::kBlockN / 8) {
      if (work_.column != 0 || lane_ % 8 != 0) return;
      const u32 row = first + lane_ / 8;
      store_square(row, x.x);
      store_square(row + 4, x.y);
      store_square(row + 8, x.z);
      store_square(row + 12, x.w);
    } else {
      const u32 row = first + lane_ / 4;
      const u32 column = work_.column + group * 8 + lane_ % 4 * 2;
      store_pair(row, column, x.x, x.y);
      store_pair(row + 8, column, x.z, x.w);
    }
  }

  __device__ __forceinline__ void store_square(u32 row, float x) const {
    if (row < params_.m) params_.sqr_sum[line(row)] = x;
  }

  __device__ __forceinline__ void store_pair(u32 row, u32 column, float x, float y) const {
    if (row >= params_.m) return;
    float* place = params_.d + line(row) * params_.n + column;
    if (column < params_.n) place[0] = x;
    if (column + 1 < params_.n) place[1] = y;
  }

  __device__ __forceinline__ u64 line(u32 row) const {
    return static_cast<u64>(work_.result) * params_.m + row;
  }

  const Sm90HcPrenormGemmParams& params_;
  const Work& work_;
  Smem& smem_;
  u32 warp_;
  u32 lane_;
};

}  // namespace jdg
