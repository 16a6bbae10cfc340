// Sums over the splits of K, and the way to D, of GEMMs with swapped operands.
#pragma once

#include "common/accumulate.cuh"
#include "common/pipeline.cuh"
#include "common/swapped_tile.cuh"
#include "ptx/cluster.cuh"
#include "ptx/copy.cuh"
#include "ptx/mbarrier_count.cuh"

namespace jdg {

// `Traits` are a kernel's. Its `Params` have c, d, m, pitch and lines; its `Smem` has
//   uint4 received[Fragments::kSlots][32], float transposed[kNumMathWarps][8][20], all_received:
// fragments of this CTA from every split, a fragment of each warp (20 spreads it over the banks),
// and the barrier that counts what has arrived. None is a stage's memory: the CTAs of a cluster do
// not finish at the same time.
template <typename Traits>
class SwappedStore {
 public:
  using Fragments = typename Traits::Fragments;
  using Params = typename Traits::Params;
  using Smem = typename Traits::Smem;
  using Work = typename Traits::Work;
  using Sums = typename Traits::Sums;
  using Element = typename ElementType<Traits::kConfig.float32_out>::Type;
  static constexpr u32 kNumSplits = Traits::kNumSplits;
  static constexpr u32 kNumMathWarps = Traits::kNumMathWarps;
  static constexpr u32 kNumFragments = Fragments::kCount;
  // Rows of D may have addresses: row_of_d<Element>(params, group, row) says where one begins, or
  // null. Else they are not looked for: dense products keep the programs that were measured.
  static constexpr bool kReadsRows = requires(const Params& params) { params.addresses; };

  __device__ __forceinline__ SwappedStore(const Params& params, const Work& work, Smem& smem,
                                          u32 warp, u32 lane)
      : params_(params), work_(work), smem_(smem), warp_(warp), lane_(lane) {}

  // Says how much the other splits will send; before they can.
  __device__ static __forceinline__ void expect(Smem& smem, u32 rank) {
    ptx::mbarrier_init(smem.all_received, 1);
    const u32 fragments = rank < kNumFragments ? (kNumFragments - 1 - rank) / kNumSplits + 1 : 0;
    ptx::mbarrier_arrive_expect_tx(smem.all_received,
                                   fragments * kNumSplits * sizeof(smem.received[0]));
  }

  // Stores the tile. Each fragment of it is summed by one CTA, in the order of the splits, so that
  // the result does not depend on which of them is first.
  __device__ __forceinline__ void store(const Sums& sum) const {
    if constexpr (kNumSplits == 1) {
      // All at once, as they may have to be read.
      constexpr int kNumRows = kReadsRows ? Traits::kBlockM / 8 : 1;
      Element* rows[kNumRows];
#pragma unroll
      for (int group = 0; group < kNumRows; ++group) rows[group] = row_of_lane(group);
#pragma unroll
      for (int group = 0; group < Traits::kBlockM / 8; ++group) {
        const float x[4] = {sum[4 * group], sum[4 * group + 1], sum[4 * group + 2],
                            sum[4 * group + 3]};
        store_fragment(x, group, warp_, rows[kReadsRows ? group : 0]);
      }
    } else {
      send(sum);
      receive();
    }
  }

 private:
  __device__ __forceinline__ void send(const Sums& sum) const {
#pragma unroll
    for (int group = 0; group < Traits::kBlockM / 8; ++group) {
      const u32 fragment = group * kNumMathWarps + warp_;
      const u32 owner = fragment % kNumSplits;
      const u32 place = work_.rank * Fragments::kOwn + fragment / kNumSplits;
      ptx::store_async(at(&smem_.received[place][lane_], owner), __float_as_uint(sum[4 * group]),
                       __float_as_uint(sum[4 * group + 1]), __float_as_uint(sum[4 * group + 2]),
                       __float_as_uint(sum[4 * group + 3]), at(&smem_.all_received, owner));
    }
  }

  __device__ __forceinline__ void receive() const {
    u32 polls = 0;
    while (!ptx::mbarrier_try_wait_cluster(smem_.all_received, 0)) {
      if (++polls == kMaxPolls) __trap();
    }
#pragma unroll 1
    for (u32 own = warp_; own < Fragments::kOwn; own += kNumMathWarps) {
      const u32 fragment = own * kNumSplits + work_.rank;
      if (fragment >= kNumFragments) break;
      float x[4] = {0, 0, 0, 0};
#pragma unroll
      for (u32 split = 0; split < kNumSplits; ++split) {
        const uint4 part = smem_.received[split * Fragments::kOwn + own][lane_];
        x[0] += __uint_as_float(part.x);
        x[1] += __uint_as_float(part.y);
        x[2] += __uint_as_float(part.z);
        x[3] += __uint_as_float(part.w);
      }
      store_fragment(x, fragment / kNumMathWarps, fragment % kNumMathWarps,
                     row_of_lane(fragment / kNumMathWarps));
    }
  }

  __device__ static __forceinline__ u32 at(const void* place, u32 rank) {
    return ptx::map_to_cta(ptx::smem_address(place), rank);
  }

  // Null if nobody wants it, or if D lies in one piece.
  __device__ __forceinline__ Element* row_of_lane(u32 group) const {
    if constexpr (kReadsRows) {
      const u32 row = group * 8 + lane_ / 4;
      if (row < params_.m) return row_of_d<Element>(params_, work_.group, row);
    }
    return nullptr;
  }

  // Stores 8 rows of D, from 8 * `group` on, and the 16 columns that are warp `part` rows of B. A
  // thread has two columns of two rows; afterwards four columns of one, so that stores are wide.
  __device__ __forceinline__ void store_fragment(const float (&x)[4], u32 group, u32 part,
                                                 [[maybe_unused]] Element* begin) const {
    float (&transposed)[8][20] = smem_.transposed[warp_];
    __syncwarp();  // The fragment before was read.
    transposed[lane_ % 4 * 2][lane_ / 4] = x[0];
    transposed[lane_ % 4 * 2 + 1][lane_ / 4] = x[1];
    transposed[lane_ % 4 * 2][lane_ / 4 + 8] = x[2];
    transposed[lane_ % 4 * 2 + 1][lane_ / 4 + 8] = x[3];
    __syncwarp();
    const u32 row = group * 8 + lane_ / 4;
    const u32 column = work_.column + part * 16 + lane_ % 4 * 4;
    if (row >= params_.m || column >= params_.pitch) return;
    if constexpr (kReadsRows) {
      if (begin == nullptr) return;
    }
    float4 y = *reinterpret_cast<const float4*>(&transposed[lane_ / 4][lane_ % 4 * 4]);
    const u64 line = params_.lines.line(work_.group, row);
    const u64 offset = line * params_.pitch + column;
    if constexpr (Traits::kConfig.with_c) {
      const Element* c = static_cast<const Element*>(params_.c) + offset;
      const float2 left = load_pair(c);
      const float2 right = load_pair(c + 2);
      y = {y.x + left.x, y.y + left.y, y.z + right.x, y.w + right.y};
    }
    Element* d = static_cast<Element*>(params_.d) + offset;
    if constexpr (kReadsRows) d = begin + column;
    if constexpr (Traits::kConfig.float32_out) {
      *reinterpret_cast<float4*>(d) = y;
    } else {
      *reinterpret_cast<uint2*>(d) = {ptx::pack_bfloat16(y.x, y.y), ptx::pack_bfloat16(y.z, y.w)};
    }
  }

  const Params& params_;
  const Work& work_;
  Smem& smem_;
  u32 warp_;
  u32 lane_;
};

}  // namespace jdg
