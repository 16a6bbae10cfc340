// Configuration, parameters and shared memory of the Hopper selection of a row's largest values.
#pragma once

#include "common/math.cuh"

namespace jdg {

// Mirrors `Sm90RowTopkConfig` in heuristics/sm90_row_topk.py.
struct Sm90RowTopkConfig {
  int num_threads;
  int num_vectors;  // Of 4 values, that a thread looks at before all wait for each other.
  int capacity;     // Candidates in shared memory.
  int bin_bits;     // Of the histogram that finds the k-th candidate; it has 2^bin_bits bins.
  bool listed;      // Columns are entries of a list of keys, else the keys of a range.
};

struct Sm90RowTopkParams {
  const float* values;    // [rows, width].
  const int* keys;        // If listed: [rows, width], -1 where there is none.
  const int* starts;      // If not: of each row the key that its first column has; any value.
  const int* ends;        // One past the last.
  float* largest_values;  // [rows, parts, k].
  int* largest_keys;      // The same; -1 where there is none.
  u32 num_keys;           // Below 2^31.
  u32 width;              // Below 2^31.
  u32 k;
  u32 parts;  // Of a row, a CTA for each.
};

// A value and its column: the larger the candidate, the larger the value, or of equal ones the
// lower the column. Above 0. NaN is larger than all others, and zeros are equal.
using Candidate = u64;

__device__ __forceinline__ Candidate candidate_of(float value, u32 column) {
  const u32 bits = __float_as_uint(value + 0.0f);
  const u32 order = value != value ? ~0u : bits ^ (bits >> 31 ? ~0u : 1u << 31);
  return static_cast<u64>(order) << 32 | ~column;
}

__device__ __forceinline__ float value_of(Candidate candidate) {
  const u32 order = static_cast<u32>(candidate >> 32);
  return __uint_as_float(order >> 31 ? order ^ 1u << 31 : ~order);
}

__device__ __forceinline__ u32 column_of(Candidate candidate) {
  return ~static_cast<u32>(candidate);
}

template <Sm90RowTopkConfig kConfig>
struct Sm90RowTopkTraits {
  static constexpr u32 kNumThreads = kConfig.num_threads;
  static constexpr u32 kNumWarps = kNumThreads / 32;
  static constexpr u32 kCapacity = kConfig.capacity;
  static constexpr u32 kNumBins = 1u << kConfig.bin_bits;
  static constexpr u32 kValuesAtOnce = kConfig.num_vectors * 4;  // Of a thread.
  static constexpr u32 kStep = kNumThreads * kValuesAtOnce;
  // A step's candidates are counted in turn here: one is added to, one is read, one is cleared.
  static constexpr u32 kNumCounters = 3;

  static_assert(kNumThreads % 32 == 0 && kNumBins % kNumThreads == 0);
  static_assert(kCapacity > kStep, "there is room for a step beside what is kept");

  // The bin in which the last wanted candidate is.
  struct Found {
    u32 bin;
    u32 above;  // Candidates in higher bins.
    u32 count;  // In this one.
  };

  struct alignas(16) Smem {
    Candidate candidates[kCapacity];
    Candidate least[kNumWarps];
    Candidate greatest[kNumWarps];
    Candidate bound;
    u32 bins[kNumBins];  // Zeros, but while there is a histogram.
    u32 warp_sums[kNumWarps];
    u32 added[kNumCounters];
    u32 kept;
    u32 num_few;  // In place of bins.
    Found found;
    bool is_crowded;
  };
};

}  // namespace jdg
