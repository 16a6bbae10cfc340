// Puts candidates in shared memory in order, the largest first.
//
// They are dealt out to bins as fine as their span allows, mostly a few to each, and each finds its
// place among those of its bin. Where a bin has many, or there is no room for a copy, a network
// sorts them, which takes as long for any values.
#pragma once

#include "kernels/sm90_row_topk_keep.cuh"
#include "kernels/sm90_row_topk_sort.cuh"

namespace jdg {

template <Sm90RowTopkConfig kConfig>
struct Sm90RowTopkOrder {
  using Traits = Sm90RowTopkTraits<kConfig>;
  using Smem = typename Traits::Smem;
  using Keep = Sm90RowTopkKeep<kConfig>;
  using Sort = Sm90RowTopkSort<kConfig>;
  static constexpr u32 kNumThreads = Traits::kNumThreads;
  static constexpr u32 kNumBins = Traits::kNumBins;

  // All threads call it, and find the result. Bins are not zeros after it.
  __device__ static __forceinline__ void descending(Smem& smem, u32 count) {
    __syncthreads();
    if (2 * count > Traits::kCapacity || !by_bins(smem, count)) Sort::descending(smem, count);
  }

 private:
  static constexpr u32 kMostOfBin = 32;

  // Returns whether no bin had too many.
  __device__ static __forceinline__ bool by_bins(Smem& smem, u32 count) {
    if (threadIdx.x == 0) smem.is_crowded = false;
    Candidate first, last;
    Keep::span(smem, count, first, last);
    const u32 shift = Keep::shift_of(last - first);
    Keep::count_bins(smem, count, first, last - first, shift);
    begin_bins(smem);
    if (smem.is_crowded) return false;
    Candidate* dealt = smem.candidates + count;
#pragma unroll 1
    for (u32 i = threadIdx.x; i < count; i += kNumThreads) {
      const Candidate candidate = smem.candidates[i];
      u32& place = smem.bins[(candidate - first) >> shift];
      dealt[ptx::atomic_add_shared(ptx::smem_address(&place), 1)] = candidate;
    }
    __syncthreads();
#pragma unroll 1
    for (u32 i = threadIdx.x; i < count; i += kNumThreads) {
      const Candidate candidate = dealt[i];
      const u32 bin = (candidate - first) >> shift;
      // A bin ends where the next lower one began.
      const u32 begin = bin == kNumBins - 1 ? 0 : smem.bins[bin + 1];
      u32 place = begin;
#pragma unroll 2
      for (u32 j = begin; j < smem.bins[bin]; ++j) place += dealt[j] > candidate;
      smem.candidates[place] = candidate;
    }
    __syncthreads();
    return true;
  }

  // Turns the bins' counts into the place where each begins, the highest first.
  __device__ static __forceinline__ void begin_bins(Smem& smem) {
    u32 own[Keep::kOwnBins];
    u32* bins = Keep::own_bins(smem);
    u32 place = Keep::load_bins(smem, bins, own);
#pragma unroll
    for (int i = Keep::kOwnBins - 1; i >= 0; --i) {
      if (own[i] > kMostOfBin) smem.is_crowded = true;
      bins[i] = place;
      place += own[i];
    }
    __syncthreads();
  }
};

}  // namespace jdg
