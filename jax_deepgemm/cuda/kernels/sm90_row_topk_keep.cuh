// Keeps the largest of many candidates in shared memory.
//
// A histogram of all candidates finds the bin in which the last wanted one is, a histogram of that
// bin's the next, until all of a bin are wanted. Bins are as fine as the candidates' span allows.
#pragma once

#include "common/block_scan.cuh"
#include "kernels/sm90_row_topk_append.cuh"
#include "kernels/sm90_row_topk_types.cuh"

namespace jdg {

template <Sm90RowTopkConfig kConfig>
struct Sm90RowTopkKeep {
  using Traits = Sm90RowTopkTraits<kConfig>;
  using Smem = typename Traits::Smem;
  using Found = typename Traits::Found;
  static constexpr u32 kNumThreads = Traits::kNumThreads;
  static constexpr u32 kNumBins = Traits::kNumBins;

  // Moves the `k` largest of `count` > k candidates to the front, in any order, and returns the
  // least of them or a number between it and the next. All threads call it, after a barrier, and
  // meet at another one before they read candidates or call it again; behind the `k` they may
  // write.
  __device__ static __forceinline__ Candidate largest(Smem& smem, u32 count, u32 k) {
    if (threadIdx.x == 0) smem.kept = 0;
    const Candidate least = bound(smem, count, k);
    move_up(smem, count, least);
    return least;
  }

  static constexpr u32 kOwnBins = kNumBins / kNumThreads;  // Of a thread.

  // The least and the greatest candidate.
  __device__ static __forceinline__ void span(Smem& smem, u32 count, Candidate& least,
                                              Candidate& greatest) {
    least = ~0ull;
    greatest = 0;
#pragma unroll 4
    for (u32 i = threadIdx.x; i < count; i += kNumThreads) {
      const Candidate candidate = smem.candidates[i];
      least = min(least, candidate);
      greatest = max(greatest, candidate);
    }
#pragma unroll
    for (u32 distance = 16; distance > 0; distance /= 2) {
      least = min(least, from(least, distance));
      greatest = max(greatest, from(greatest, distance));
    }
    if (threadIdx.x % 32 == 0) {
      smem.least[threadIdx.x / 32] = least;
      smem.greatest[threadIdx.x / 32] = greatest;
    }
    __syncthreads();
#pragma unroll
    for (u32 warp = 0; warp < Traits::kNumWarps; ++warp) {
      least = min(least, smem.least[warp]);
      greatest = max(greatest, smem.greatest[warp]);
    }
  }

  // Counts candidates by the bits from `shift` on of what they exceed `first` by, at most `excess`.
  __device__ static __forceinline__ void count_bins(Smem& smem, u32 count, Candidate first,
                                                    u64 excess, u32 shift) {
#pragma unroll 4
    for (u32 i = threadIdx.x; i < count; i += kNumThreads) {
      const Candidate candidate = smem.candidates[i];
      const u64 beyond = candidate - first;
      if (candidate >= first && beyond <= excess) {
        ptx::atomic_add_shared(ptx::smem_address(&smem.bins[beyond >> shift]), 1);
      }
    }
    __syncthreads();
  }

  // The thread's bins, the first thread has the highest ones.
  __device__ static __forceinline__ u32* own_bins(Smem& smem) {
    return &smem.bins[kNumBins - (threadIdx.x + 1) * kOwnBins];
  }

  // Returns the sum of the thread's counts.
  __device__ static __forceinline__ u32 load_bins(const u32* bins, u32 (&own)[kOwnBins]) {
    u32 sum = 0;
#pragma unroll
    for (u32 i = 0; i < kOwnBins; ++i) sum += own[i] = bins[i];
    return sum;
  }

  // The bits that a number within a bin has, with as many bins as there are for `excess`.
  __device__ static __forceinline__ u32 shift_of(u64 excess) {
    const u32 bits = 64 - static_cast<u32>(__clzll(excess));
    return max(bits, kBinBits) - kBinBits;
  }

 private:
  static constexpr u32 kBinBits = kConfig.bin_bits;
  static constexpr u32 kMovedAtOnce = 4;

  __device__ static __forceinline__ Candidate from(Candidate own, u32 distance) {
    const u32 low = ptx::shuffle_xor(static_cast<u32>(own), distance);
    const u32 high = ptx::shuffle_xor(static_cast<u32>(own >> 32), distance);
    return static_cast<u64>(high) << 32 | low;
  }

  // Returns a number that `k` candidates reach.
  __device__ static __forceinline__ Candidate bound(Smem& smem, u32 count, u32 k) {
    Candidate first, last;
    span(smem, count, first, last);
    u64 excess = last - first;
    while (true) {
      const u32 shift = shift_of(excess);
      count_bins(smem, count, first, excess, shift);
      const Found found = find(smem, k);
      first += static_cast<u64>(found.bin) << shift;
      k -= found.above;
      // Candidates differ: a bin without a span has one.
      if (found.count == k || shift == 0) return first;
      excess = (1ull << shift) - 1;
    }
  }

  // Returns the bin in which the k-th largest is, and clears all bins.
  __device__ static __forceinline__ Found find(Smem& smem, u32 k) {
    u32 own[kOwnBins];
    u32* bins = own_bins(smem);
    const u32 sum = load_bins(bins, own);
    u32 total;
    u32 above = scan_before<Sum>(smem.warp_sums, sum, total);
#pragma unroll
    for (int i = kOwnBins - 1; i >= 0; --i) {
      if (above < k && k - above <= own[i]) {
        smem.found = {static_cast<u32>(&bins[i] - smem.bins), above, own[i]};
      }
      above += own[i];
      bins[i] = 0;
    }
    __syncthreads();
    return smem.found;
  }

  // Moves candidates from `least` on to the front.
  __device__ static __forceinline__ void move_up(Smem& smem, u32 count, Candidate least) {
#pragma unroll 1
    for (u32 first = 0; first < count; first += kNumThreads * kMovedAtOnce) {
      Candidate own[kMovedAtOnce];
      bool is_kept[kMovedAtOnce];
#pragma unroll
      for (u32 i = 0; i < kMovedAtOnce; ++i) {
        const u32 index = first + i * kNumThreads + threadIdx.x;
        own[i] = index < count ? smem.candidates[index] : 0;
        is_kept[i] = own[i] >= least;
      }
      // What is written lies before the end of what was read.
      __syncthreads();
      append(smem.candidates, smem.kept, is_kept, [&](int i) { return own[i]; });
    }
  }
};

}  // namespace jdg
