// The k largest values of a row with their keys, in order.
//
// A CTA reads its row once. Values that exceed a bound are appended to candidates in shared memory;
// when there may be no room for those of another step, the k largest are kept, and the least of
// them is the bound. Of long rows a sample says a bound that a few more than k values exceed; if
// fewer do the row is read again without one.
#pragma once

#include "kernels/sm90_row_topk_order.cuh"
#include "ptx/sync.cuh"

namespace jdg {

template <Sm90RowTopkConfig kConfig>
struct Sm90RowTopk {
  using Traits = Sm90RowTopkTraits<kConfig>;
  using Params = Sm90RowTopkParams;
  using Smem = typename Traits::Smem;
  using Keep = Sm90RowTopkKeep<kConfig>;
  using Order = Sm90RowTopkOrder<kConfig>;
  static constexpr int kNumThreads = kConfig.num_threads;
  // A list's rows are few, and take a register more than two blocks have.
  static constexpr int kCtasPerSm =
      kNumThreads <= 512 && sizeof(Smem) <= 112 * 1024 && !kConfig.listed ? 2 : 1;

  __device__ static __forceinline__ void run(const Params& params) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    for (u32 i = threadIdx.x; i < Traits::kNumBins; i += kNumThreads) smem.bins[i] = 0;
    if (threadIdx.x < Traits::kNumCounters) smem.added[threadIdx.x] = 0;
    if (threadIdx.x == 0) smem.num_few = 0;
    __syncthreads();
    ptx::wait_for_previous_kernel();
    const Row row = row_of(params);
    u32 counter = 0;
    u32 count = 0;
    u32 rank = sampled_rank(row, params.k);
#pragma unroll 1
    while (true) {
      const float bound = rank > 0 ? sampled_bound(smem, row, rank) : no_bound();
      count = collect(smem, row, params.k, bound, counter);
      if (rank == 0 || count >= params.k) break;
      rank = 0;
    }
    if (count > params.k) {
      Keep::largest(smem, count, params.k);
      count = params.k;
    }
    Order::descending(smem, count);
    store(params, smem, row, count);
  }

 private:
  static constexpr u32 kValuesAtOnce = Traits::kValuesAtOnce;

  // What a CTA looks at.
  struct Row {
    const float* values;
    const int* keys;  // If listed.
    u32 count;
    u32 first_key;  // If not.
  };

  __device__ static __forceinline__ Row row_of(const Params& params) {
    const u32 row = blockIdx.x / params.parts;
    const float* values = params.values + static_cast<u64>(row) * params.width;
    if constexpr (kConfig.listed) {
      return {values, params.keys + static_cast<u64>(row) * params.width, params.width, 0};
    }
    const int num_keys = static_cast<int>(params.num_keys);
    const int start = min(max(params.starts[row], 0), num_keys);
    const int end = max(min(params.ends[row], num_keys), start);
    const u32 count = min(static_cast<u32>(end - start), params.width);
    // Parts begin with whole vectors, if rows do.
    const u32 share = (count / params.parts + 4) / 4 * 4;
    const u32 begin = min(blockIdx.x % params.parts * share, count);
    return {values + begin, nullptr, min(count - begin, share), start + begin};
  }

  // A thread's values of a step; those outside of the row are undefined.
  struct Values {
    float x[kValuesAtOnce];
    u32 columns[kConfig.num_vectors];  // Of each first of 4; a huge one before the row.
  };

  // Values before the row in the vector of 16 bytes in which it begins.
  __device__ static __forceinline__ u32 lead_of(const Row& row) {
    return static_cast<u32>(reinterpret_cast<u64>(row.values)) / 4 % 4;
  }

  // Whether all values of a step are the row's.
  __device__ static __forceinline__ bool is_inside(const Row& row, u32 step) {
    const u32 first = step * Traits::kStep - lead_of(row);
    return first < row.count && row.count - first >= Traits::kStep;
  }

  __device__ static __forceinline__ Values load(const Row& row, u32 step) {
    Values values;
    const bool whole = is_inside(row, step);
#pragma unroll
    for (u32 i = 0; i < kConfig.num_vectors; ++i) {
      const u32 vector = (step * kConfig.num_vectors + i) * kNumThreads + threadIdx.x;
      const u32 column = vector * 4 - lead_of(row);
      values.columns[i] = column;
      const float* source = row.values + static_cast<int>(column);
      float* x = &values.x[i * 4];
      if (whole) {
        const float4 four = *reinterpret_cast<const float4*>(source);
        x[0] = four.x;
        x[1] = four.y;
        x[2] = four.z;
        x[3] = four.w;
      } else {
#pragma unroll
        for (u32 j = 0; j < 4; ++j) x[j] = column + j < row.count ? source[j] : 0;
      }
    }
    return values;
  }

  // The rank in a sample of kStep values whose value more than k of the row's reach, with four
  // standard deviations to spare; 0 if no sample is worth it, or candidates would not fit.
  __device__ static __forceinline__ u32 sampled_rank(const Row& row, u32 k) {
    if (kConfig.listed || row.count < 2 * Traits::kCapacity) return 0;
    const float share = static_cast<float>(Traits::kStep) / static_cast<float>(row.count);
    const float mean = static_cast<float>(k) * share;
    const u32 rank = static_cast<u32>(mean + 4 * sqrtf(mean)) + 8;
    const float candidates = static_cast<float>(rank) / share;
    return candidates < static_cast<float>(Traits::kCapacity - Traits::kStep) ? rank : 0;
  }

  // A value that all but `rank` of a sample do not exceed, or that one exceeds less.
  __device__ static __forceinline__ float sampled_bound(Smem& smem, const Row& row, u32 rank) {
    // Without the first and the last vector, which may be of other rows.
    const u32 num_vectors = (lead_of(row) + row.count) / 4 - 1;
    const u32 stride = num_vectors / (Traits::kStep / 4);
    const float* first = row.values + 4 - lead_of(row);
#pragma unroll
    for (u32 i = 0; i < kConfig.num_vectors; ++i) {
      const u32 place = i * kNumThreads + threadIdx.x;
      const float4 x =
          *reinterpret_cast<const float4*>(first + static_cast<u64>(place) * stride * 4);
      Candidate* sample = &smem.candidates[i * 4 * kNumThreads + threadIdx.x];
      sample[0] = candidate_of(x.x, place);
      sample[kNumThreads] = candidate_of(x.y, place + Traits::kStep);
      sample[2 * kNumThreads] = candidate_of(x.z, place + 2 * Traits::kStep);
      sample[3 * kNumThreads] = candidate_of(x.w, place + 3 * Traits::kStep);
    }
    __syncthreads();
    return value_of(Keep::bound(smem, Traits::kStep, rank));
  }

  // Nothing is at most NaN.
  __device__ static __forceinline__ float no_bound() { return __uint_as_float(0x7FFFFFFF); }

  // Leaves candidates of the row in shared memory, those that exceed `bound` or the k largest of
  // them among them, and returns their number. Ends with a barrier if there are any.
  __device__ static __forceinline__ u32 collect(Smem& smem, const Row& row, u32 k, float bound,
                                                u32& counter) {
    const u32 end = row.count == 0 ? 0 : lead_of(row) + row.count;
    const u32 num_steps = (end + Traits::kStep - 1) / Traits::kStep;
    u32 count = 0;
    Values next = load(row, 0);
#pragma unroll 1
    for (u32 step = 0; step < num_steps; ++step) {
      const Values values = next;
      next = load(row, step + 1);
      if (is_inside(row, step)) {
        add<true>(smem, row, values, bound, count, counter);
      } else {
        add<false>(smem, row, values, bound, count, counter);
      }
      __syncthreads();
      count += smem.added[counter];
      counter = after(counter);
      // Read by all before the last barrier, and added to after the next.
      if (threadIdx.x == 0) smem.added[after(counter)] = 0;
      if (count + Traits::kStep > Traits::kCapacity && step + 1 < num_steps) {
        // Equal values of later columns are no candidates: the bound is one to exceed.
        bound = value_of(Keep::largest(smem, count, k));
        count = k;
      }
    }
    return count;
  }

  __device__ static __forceinline__ u32 after(u32 counter) {
    return counter == Traits::kNumCounters - 1 ? 0 : counter + 1;
  }

  // Appends what may be among the largest to the first `count` candidates; kInside tells that all
  // values are the row's.
  template <bool kInside>
  __device__ static __forceinline__ void add(Smem& smem, const Row& row, const Values& values,
                                             float bound, u32 count, u32 counter) {
    bool is_candidate[kValuesAtOnce];
#pragma unroll
    for (u32 i = 0; i < kValuesAtOnce; ++i) {
      const u32 column = values.columns[i / 4] + i % 4;
      is_candidate[i] = (kInside || column < row.count) && !(values.x[i] <= bound);
      if constexpr (kConfig.listed) {
        if (is_candidate[i]) is_candidate[i] = row.keys[column] >= 0;
      }
    }
    append(smem.candidates + count, smem.added[counter], is_candidate,
           [&](int i) { return candidate_of(values.x[i], values.columns[i / 4] + i % 4); });
  }

  __device__ static __forceinline__ void store(const Params& params, const Smem& smem,
                                               const Row& row, u32 count) {
    const u64 first = static_cast<u64>(blockIdx.x) * params.k;
    for (u32 i = threadIdx.x; i < params.k; i += kNumThreads) {
      float value = -__uint_as_float(0x7F800000);
      int key = -1;
      if (i < count) {
        const Candidate candidate = smem.candidates[i];
        const u32 column = column_of(candidate);
        value = value_of(candidate);
        key = kConfig.listed ? row.keys[column] : static_cast<int>(row.first_key + column);
      }
      params.largest_values[first + i] = value;
      params.largest_keys[first + i] = key;
    }
  }
};

}  // namespace jdg
