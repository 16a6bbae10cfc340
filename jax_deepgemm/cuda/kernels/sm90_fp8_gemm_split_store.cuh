// Sums over the splits of K, and the way to D, of the Hopper FP8 GEMM for few tiles.
#pragma once

#include "common/accumulate.cuh"
#include "kernels/sm90_fp8_gemm_split_types.cuh"
#include "ptx/cluster.cuh"
#include "ptx/copy.cuh"
#include "ptx/mbarrier_count.cuh"

namespace jdg {

template <Sm90Fp8GemmSplitConfig kConfig>
class Sm90Fp8GemmSplitStore {
 public:
  using Traits = Sm90Fp8GemmSplitTraits<kConfig>;
  using Params = Sm90Fp8GemmSplitParams;
  using Smem = typename Traits::Smem;
  using Work = typename Traits::Work;
  using Sums = typename Traits::Sums;
  using Element = typename ElementType<kConfig.float32_out>::Type;
  static constexpr u32 kNumSplits = kConfig.num_splits;
  static constexpr u32 kColumnGroups = Traits::kColumnGroups;
  static constexpr u32 kOwnColumnGroups = Traits::kOwnColumnGroups;

  __device__ __forceinline__ Sm90Fp8GemmSplitStore(const Params& params, const Work& work,
                                                   Smem& smem, u32 warp, u32 lane)
      : params_(params), work_(work), smem_(smem), warp_(warp), lane_(lane) {}

  // Says how much the other splits will send; before they can.
  __device__ static __forceinline__ void expect(Smem& smem, u32 rank) {
    const u32 first = rank * kOwnColumnGroups;
    const u32 groups = first < kColumnGroups ? min(kOwnColumnGroups, kColumnGroups - first) : 0;
    ptx::mbarrier_init(smem.all_received, 1);
    ptx::mbarrier_arrive_expect_tx(
        smem.all_received, groups * (kNumSplits - 1) * Traits::kNumMathWarps * sizeof(uint4[32]));
  }

  // Stores the tile. Each CTA sums up the columns that it owns, in the order of the splits, so that
  // the result does not depend on which of them is first. Its own part stays in registers.
  __device__ __forceinline__ void store(const Sums& sum) const {
    if constexpr (kNumSplits > 1) {
      send(sum);
      await_others();
    }
#pragma unroll
    for (u32 group = 0; group < kColumnGroups; ++group) {
      const float own[4] = {sum[4 * group], sum[4 * group + 1], sum[4 * group + 2],
                            sum[4 * group + 3]};
      if constexpr (kNumSplits == 1) {
        store_group(own, group);
      } else if (group / kOwnColumnGroups == work_.rank) {
        float x[4];
        add_up(own, group % kOwnColumnGroups, x);
        store_group(x, group);
      }
    }
  }

 private:
  // Sends the columns that other CTAs own. An owner has no place for its own part: those of later
  // ranks come one earlier.
  __device__ __forceinline__ void send(const Sums& sum) const {
#pragma unroll
    for (u32 group = 0; group < kColumnGroups; ++group) {
      const u32 owner = group / kOwnColumnGroups;
      if (owner == work_.rank) continue;
      const u32 place = work_.rank < owner ? work_.rank : work_.rank - 1;
      ptx::store_async(at(&smem_.received[place][warp_][group % kOwnColumnGroups][lane_], owner),
                       __float_as_uint(sum[4 * group]), __float_as_uint(sum[4 * group + 1]),
                       __float_as_uint(sum[4 * group + 2]), __float_as_uint(sum[4 * group + 3]),
                       at(&smem_.all_received, owner));
    }
  }

  __device__ __forceinline__ void await_others() const {
    u32 polls = 0;
    while (!ptx::mbarrier_try_wait_cluster(smem_.all_received, 0)) {
      if (++polls == kMaxPolls) __trap();
    }
  }

  // Sets `x` to the sum over the splits of own column group `group`.
  __device__ __forceinline__ void add_up(const float (&own)[4], u32 group, float (&x)[4]) const {
    x[0] = x[1] = x[2] = x[3] = 0;
#pragma unroll
    for (u32 split = 0; split < kNumSplits; ++split) {
      if (split == work_.rank) {
#pragma unroll
        for (int i = 0; i < 4; ++i) x[i] += own[i];
      } else {
        const u32 place = split < work_.rank ? split : split - 1;
        const uint4 part = smem_.received[place][warp_][group][lane_];
        x[0] += __uint_as_float(part.x);
        x[1] += __uint_as_float(part.y);
        x[2] += __uint_as_float(part.z);
        x[3] += __uint_as_float(part.w);
      }
    }
  }

  __device__ static __forceinline__ u32 at(const void* place, u32 rank) {
    return ptx::map_to_cta(ptx::smem_address(place), rank);
  }

  // Stores the warp's 16 rows of 8 columns: two of a thread's row r, two of its row r + 8.
  __device__ __forceinline__ void store_group(const float (&x)[4], u32 group) const {
    const u32 row = work_.row + warp_ * 16 + lane_ / 4;
    const u32 column = work_.column + group * 8 + lane_ % 4 * 2;
    if (column >= params_.pitch) return;
    if (row < params_.m) store_pair({x[0], x[1]}, row, column);
    if (row + 8 < params_.m) store_pair({x[2], x[3]}, row + 8, column);
  }

  __device__ __forceinline__ void store_pair(float2 x, u32 row, u32 column) const {
    const u64 offset =
        static_cast<u64>(params_.lines.line(work_.group, row)) * params_.pitch + column;
    if constexpr (kConfig.with_c) {
      const float2 c = load_pair(static_cast<const Element*>(params_.c) + offset);
      x = {x.x + c.x, x.y + c.y};
    }
    Element* d = static_cast<Element*>(params_.d) + offset;
    if constexpr (kConfig.float32_out) {
      *reinterpret_cast<float2*>(d) = x;
    } else {
      *reinterpret_cast<u32*>(d) = ptx::pack_bfloat16(x.x, x.y);
    }
  }

  const Params& params_;
  const Work& work_;
  Smem& smem_;
  u32 warp_;
  u32 lane_;
};

}  // namespace jdg
