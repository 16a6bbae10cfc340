// sum += scale * acc, or sum = scale * acc for the `first` block: moves one K block's product into
// float32 sums.
//
// A thread holds rows r and r + 8 of every 8 columns: acc[4g], acc[4g + 1] are two columns of
// row r in column group g, acc[4g + 2], acc[4g + 3] the same columns of row r + 8.
#pragma once

#include "common/math.cuh"

namespace jdg {

struct RowScales {
  float upper;  // Row r.
  float lower;  // Row r + 8.
};

// Rounded as written: left to itself the compiler fuses the first block's product with the second's
// where both are in one stage, and results would depend on the configuration in their last bit.
__device__ __forceinline__ void scale_add(float& sum, float acc, float scale, bool first) {
  sum = first ? __fmul_rn(acc, scale) : __fmaf_rn(acc, scale, sum);
}

// One scale a row for column groups before kSplit, another for the rest.
template <int kSplit, int kCount>
__device__ __forceinline__ void promote_split(float (&sum)[kCount], const float (&acc)[kCount],
                                              RowScales left, RowScales right, bool first) {
#pragma unroll
  for (int group = 0; group < kCount / 4; ++group) {
    const RowScales scale = group < kSplit ? left : right;
    scale_add(sum[4 * group + 0], acc[4 * group + 0], scale.upper, first);
    scale_add(sum[4 * group + 1], acc[4 * group + 1], scale.upper, first);
    scale_add(sum[4 * group + 2], acc[4 * group + 2], scale.lower, first);
    scale_add(sum[4 * group + 3], acc[4 * group + 3], scale.lower, first);
  }
}

// As above for a split known at run time, in [kLow, kHigh] by steps of kStep. One branch per bit
// and then straight code: selecting the scale per group would cost 3 instructions on every 4
// multiply-adds.
template <int kLow, int kHigh, int kStep, int kCount>
__device__ __forceinline__ void promote(float (&sum)[kCount], const float (&acc)[kCount],
                                        RowScales left, RowScales right, int split, bool first) {
  if constexpr (kLow >= kHigh) {
    promote_split<kLow>(sum, acc, left, right, first);
  } else {
    constexpr int kMiddle = kLow + (kHigh - kLow) / kStep / 2 * kStep;
    if (split <= kMiddle) {
      promote<kLow, kMiddle, kStep>(sum, acc, left, right, split, first);
    } else {
      promote<kMiddle + kStep, kHigh, kStep>(sum, acc, left, right, split, first);
    }
  }
}

// Column group `group` with one scale a column: `columns` are those of the thread's two.
template <int kCount>
__device__ __forceinline__ void promote_group(float (&sum)[kCount], const float (&acc)[kCount],
                                              int group, RowScales rows, float2 columns,
                                              bool first) {
  scale_add(sum[4 * group + 0], acc[4 * group + 0], rows.upper * columns.x, first);
  scale_add(sum[4 * group + 1], acc[4 * group + 1], rows.upper * columns.y, first);
  scale_add(sum[4 * group + 2], acc[4 * group + 2], rows.lower * columns.x, first);
  scale_add(sum[4 * group + 3], acc[4 * group + 3], rows.lower * columns.y, first);
}

// A scale for each of a thread's columns.
template <int kCount>
struct ColumnScales {
  float2 of_group[kCount / 4];

  // `first` is that of its first column.
  __device__ __forceinline__ void load(const float* first) {
#pragma unroll
    for (int group = 0; group < kCount / 4; ++group) {
      of_group[group] = *reinterpret_cast<const float2*>(first + 8 * group);
    }
  }
};

// All column groups.
template <int kCount>
__device__ __forceinline__ void promote_columns(float (&sum)[kCount], const float (&acc)[kCount],
                                                RowScales rows, const ColumnScales<kCount>& columns,
                                                bool first) {
#pragma unroll
  for (int group = 0; group < kCount / 4; ++group) {
    promote_group(sum, acc, group, rows, columns.of_group[group], first);
  }
}

// sum += column * acc for sums of rows that are scaled already.
template <int kCount>
__device__ __forceinline__ void add_columns(float (&sum)[kCount], const float (&acc)[kCount],
                                            const ColumnScales<kCount>& columns, bool first) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float2 column = columns.of_group[i / 4];
    scale_add(sum[i], acc[i], i % 2 == 0 ? column.x : column.y, first);
  }
}

}  // namespace jdg
