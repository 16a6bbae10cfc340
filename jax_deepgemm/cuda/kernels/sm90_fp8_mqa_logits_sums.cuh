// Sums over heads of a product of the MQA logits, and their way to global memory.
#pragma once

#include "kernels/sm90_fp8_mqa_logits_types.cuh"
#include "ptx/copy.cuh"
#include "ptx/maximum.cuh"
#include "ptx/warp.cuh"

namespace jdg {

// A thread has two columns of 8 of every head group, for keys lane / 4 and 8 further: the sums over
// a quad are those over all heads. Halves of the sums are exchanged instead of all of them, so that
// each lane ends up with sums of its own: those of key row `upper` and of half of the queries.
template <typename Traits>
struct Sm90Fp8MqaLogitsSums {
  static constexpr auto kConfig = Traits::kConfiguration;
  using Element = typename Traits::Element;
  using QueryStage = typename Traits::QueryStage;
  static constexpr int kQueries = Traits::kBankQueries;
  static constexpr int kHeadGroups = kConfig.num_heads / 8;
  static constexpr int kAccumulators = Traits::kBankN / 2;
  static constexpr int kOwn = kQueries > 1 ? kQueries / 2 : 1;
  using Weights = float[kAccumulators / 2];
  using Partial = float[2][kQueries];  // Of a thread's two keys.

  // Of the bank, a thread's columns; two for each group of 8.
  __device__ static __forceinline__ void load_weights(Weights& weights, const QueryStage& query,
                                                      int bank, u32 lane) {
    const float* first = &query.weights[bank * Traits::kBankN + lane % 4 * 2];
#pragma unroll
    for (int group = 0; group < Traits::kBankN / 8; ++group) {
      const float2 pair = *reinterpret_cast<const float2*>(first + group * 8);
      weights[2 * group] = is_maximum(2 * group) ? 2 * pair.x : pair.x;
      weights[2 * group + 1] = is_maximum(2 * group + 1) ? 2 * pair.y : pair.y;
    }
  }

  // The row of a lane's key among its warp's 16.
  __device__ static __forceinline__ u32 key_row(u32 lane) { return lane / 4 + lane % 4 / 2 * 8; }

  // Sums twice weight * relu(x) over a thread's columns of each query, for both of its keys.
  __device__ static __forceinline__ void add_up(const float (&acc)[kAccumulators],
                                                const Weights& weights, Partial& sums) {
#pragma unroll
    for (int query = 0; query < kQueries; ++query) {
#pragma unroll
      for (int i = 0; i < kHeadGroups * 2; ++i) {
        const int column = query * kHeadGroups * 2 + i;
        const float* x = &acc[column / 2 * 4 + column % 2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float positive = relu(x[2 * half], column);
          float& sum = sums[half][query];
          sum = i == 0 ? positive * weights[column] : __fmaf_rn(positive, weights[column], sum);
        }
      }
    }
  }

  // Stores the sums over a quad times `scale`, for a lane's key and queries of a bank.
  __device__ static __forceinline__ void store(const Partial& sums, const RowTarget* rows,
                                               float scale, u32 key, Element* logits, u32 lane) {
    float own[kOwn];
    exchange(sums, own, lane);
    const bool stores = kQueries > 1 || lane % 2 == 0;
    const u32 first = kQueries > 1 ? lane % 2 * kOwn : 0;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const RowTarget row = target(rows[first + i]);
      if (stores && key - row.keys.start < row.keys.count) {
        put(logits + (row.base + key), own[i] * scale);
      }
    }
  }

  __device__ static __forceinline__ void put(float* logit, float x) { *logit = x; }

  __device__ static __forceinline__ void put(u16* logit, float x) {
    *logit = static_cast<u16>(ptx::pack_bfloat16(x, x));
  }

 private:
  // Whether a column takes a maximum, with twice its weight, or x + |x|, which is twice the
  // maximum. Both are exact, keep a NaN, and are one instruction: of the pipe that takes two cycles
  // for one, or of the pipe that the sums need as well.
  __host__ __device__ static constexpr bool is_maximum(int column) {
    return column % 4 < kConfig.max_columns;
  }

  __device__ static __forceinline__ float relu(float x, int column) {
    return is_maximum(column) ? ptx::max_or_nan(x, 0) : x + fabsf(x);
  }

  // Reads a target; in one load where there are registers for it, or else what is needed of it last
  // is loaded when it is known to be needed.
  __device__ static __forceinline__ RowTarget target(const RowTarget& row) {
    if constexpr (kOwn == 1 && kConfig.num_math_warpgroups == 2) {
      const uint4 bits = *reinterpret_cast<const uint4*>(&row);
      return {static_cast<u64>(bits.y) << 32 | bits.x, {bits.z, bits.w}};
    } else {
      return row;
    }
  }

  // The sums over the quad that a lane stores.
  __device__ static __forceinline__ void exchange(const Partial& sums, float (&own)[kOwn],
                                                  u32 lane) {
    const bool upper = lane & 2;
    const bool odd = lane & 1;
    float halves[kQueries];
#pragma unroll
    for (int query = 0; query < kQueries; ++query) {
      const float kept = upper ? sums[1][query] : sums[0][query];
      const float sent = upper ? sums[0][query] : sums[1][query];
      halves[query] = kept + from(sent, 2);
    }
    if constexpr (kQueries == 1) {
      own[0] = halves[0] + from(halves[0], 1);
    } else {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const float kept = odd ? halves[kOwn + i] : halves[i];
        const float sent = odd ? halves[i] : halves[kOwn + i];
        own[i] = kept + from(sent, 1);
      }
    }
  }

  __device__ static __forceinline__ float from(float x, u32 mask) {
    return __uint_as_float(ptx::shuffle_xor(__float_as_uint(x), mask));
  }
};

}  // namespace jdg
