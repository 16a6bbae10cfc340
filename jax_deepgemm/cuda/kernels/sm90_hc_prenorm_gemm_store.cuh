// Sums over the splits of K, and the way to the results, of the Hopper kernel for a product with
// sums of squares.
#pragma once

#include "kernels/sm90_hc_prenorm_gemm_types.cuh"
#include "ptx/cluster.cuh"
#include "ptx/named_barrier.cuh"
#include "ptx/warp.cuh"

namespace jdg {

template <Sm90HcPrenormGemmConfig kConfig>
class Sm90HcPrenormGemmStore {
 public:
  using Traits = Sm90HcPrenormGemmTraits<kConfig>;
  using Exchange = typename Traits::Exchange;
  using Work = typename Traits::Work;

  __device__ __forceinline__ Sm90HcPrenormGemmStore(const Sm90HcPrenormGemmParams& params,
                                                    const Work& work, Exchange& exchange,
                                                    u32 thread)
      : params_(params), work_(work), exchange_(exchange), thread_(thread) {}

  // Writes this CTA's sums where the others of its cluster read them. Sums of products with the
  // leading and the trailing parts of B meet here.
  __device__ __forceinline__ void put(const float (&sum)[Traits::kMmaN / 2],
                                      float (&squares)[4]) const {
    const u32 warp = thread_ / 32;
    const u32 lane = thread_ % 32;
    constexpr int kTrailing = Traits::kBlockN / 2;  // Where the other sums begin.
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float* line = exchange_.d[warp * 16 + half * 8 + lane / 4];
#pragma unroll
      for (int group = 0; group < Traits::kBlockN / 8; ++group) {
        const int i = 4 * group + 2 * half;
        *reinterpret_cast<float2*>(line + group * 8 + lane % 4 * 2) = {
            sum[i] + sum[i + kTrailing], sum[i + 1] + sum[i + 1 + kTrailing]};
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (u32 mask = 1; mask < 8; mask *= 2) {
        const u32 other = ptx::shuffle_xor(__float_as_uint(squares[i]), mask);
        squares[i] += __uint_as_float(other);
      }
      if (lane % 8 == 0) exchange_.squares[warp * 16 + 4 * i + lane / 8] = squares[i];
    }
  }

  // Stores this CTA's share of the tile's rows, summed over the splits in their order.
  __device__ __forceinline__ void store() const {
    constexpr u32 kRows = Traits::kBlockM / kConfig.num_splits;
    const u32 first = work_.rank * kRows;  // Of the tile.
    const u64 line = static_cast<u64>(work_.result) * params_.m + work_.row + first;
    const u32 rows = num_rows(first, kRows);
#pragma unroll 1
    for (u32 i = thread_; i < kRows * Traits::kBlockN; i += Traits::kMathThreads) {
      const u32 row = i / Traits::kBlockN;
      const u32 column = work_.column + i % Traits::kBlockN;
      if (row >= rows) break;
      if (column < params_.n) {
        params_.d[(line + row) * params_.n + column] = summed(exchange_.d[first] + i);
      }
    }
    if (work_.column == 0 && thread_ < rows) {
      params_.sqr_sum[line + thread_] = summed(exchange_.squares + first + thread_);
    }
  }

 private:
  // Of `count` rows of the tile from `first` on, those that A has.
  __device__ __forceinline__ u32 num_rows(u32 first, u32 count) const {
    const u32 begin = work_.row + first;
    return begin < params_.m ? min(count, params_.m - begin) : 0;
  }

  __device__ static __forceinline__ float summed(const float* place) {
    if constexpr (kConfig.num_splits == 1) return *place;
    const u32 address = ptx::smem_address(place);
    float parts[kConfig.num_splits];
#pragma unroll
    for (u32 split = 0; split < kConfig.num_splits; ++split) {
      parts[split] = __uint_as_float(ptx::load_cluster(ptx::map_to_cta(address, split)));
    }
    float sum = parts[0];
#pragma unroll
    for (u32 split = 1; split < kConfig.num_splits; ++split) sum += parts[split];
    return sum;
  }

  const Sm90HcPrenormGemmParams& params_;
  const Work& work_;
  Exchange& exchange_;
  u32 thread_;
};

}  // namespace jdg
