// Keeps the largest of many candidates in shared memory.
//
// A histogram of all candidates finds the bin in which the last wanted one is. Its bins are of
// equal width in value, so that few share one, and those of this bin are compared with each other.
// Where that cannot be, a histogram of the bin's candidates follows, until all of a bin are wanted.
#pragma once

#include "common/block_scan.cuh"
#include "kernels/sm90_row_topk_append.cuh"
#include "kernels/sm90_row_topk_types.cuh"

namespace jdg {

template <Sm90RowTopkConfig kConfig>
struct Sm90RowTopkOrder;

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

  // Returns the k-th largest of `count` >= k candidates or a number between it and the next. All
  // threads call it, after a barrier; when one returns, all have read the candidates.
  __device__ static __forceinline__ Candidate bound(Smem& smem, u32 count, u32 k) {
    Candidate first, last;
    span(smem, count, first, last);
    const Lines lines(value_of(first), value_of(last));
    if (lines.are_some()) {
      const Found found = find_line(smem, count, lines, k);
      if (found.count <= kMostFew) return among_few(smem, count, lines, found.bin, k - found.above);
    }
    return bound_by_bits(smem, count, first, last - first, k);
  }

 private:
  // It deals candidates out to the same bins.
  friend struct Sm90RowTopkOrder<kConfig>;

  static constexpr u32 kBinBits = kConfig.bin_bits;
  // A thread each, and in place of bins.
  static constexpr u32 kMostFew = kNumThreads < kNumBins / 2 ? kNumThreads : kNumBins / 2;
  static constexpr u32 kOwnBins = kNumBins / kNumThreads;
  static constexpr u32 kMovedAtOnce = 4;

  // Bins of equal width between two values. Differences and products are rounded alike for all: a
  // larger value never has a lower bin.
  class Lines {
   public:
    __device__ __forceinline__ Lines(float first, float last)
        : first_(first), scale_(kNumBins / (last - first)) {}

    // Whether there is a width, and infinities have none.
    __device__ __forceinline__ bool are_some() const {
      return scale_ > 0 && scale_ < __uint_as_float(0x7F800000);
    }

    __device__ __forceinline__ u32 bin(Candidate candidate) const {
      const float place = (value_of(candidate) - first_) * scale_;
      return min(static_cast<u32>(place), kNumBins - 1);
    }

   private:
    float first_;
    float scale_;
  };

  __device__ static __forceinline__ Found find_line(Smem& smem, u32 count, const Lines& lines,
                                                    u32 k) {
#pragma unroll 4
    for (u32 i = threadIdx.x; i < count; i += kNumThreads) {
      ptx::atomic_add_shared(ptx::smem_address(&smem.bins[lines.bin(smem.candidates[i])]), 1);
    }
    __syncthreads();
    return find(smem, k);
  }

  // Returns the k-th largest of the candidates in a bin, at most kMostFew. They are listed where
  // bins are, which are left zero.
  __device__ static __forceinline__ Candidate among_few(Smem& smem, u32 count, const Lines& lines,
                                                        u32 bin, u32 k) {
    u64* few = reinterpret_cast<u64*>(smem.bins);
#pragma unroll 1
    for (u32 first = 0; first < count; first += kNumThreads * kMovedAtOnce) {
      Candidate own[kMovedAtOnce];
      bool is_listed[kMovedAtOnce];
#pragma unroll
      for (u32 i = 0; i < kMovedAtOnce; ++i) {
        const u32 index = first + i * kNumThreads + threadIdx.x;
        own[i] = index < count ? smem.candidates[index] : 0;
        is_listed[i] = index < count && lines.bin(own[i]) == bin;
      }
      append(few, smem.num_few, is_listed, [&](int i) { return own[i]; });
    }
    __syncthreads();
    const u32 num_few = smem.num_few;
    const bool is_one = threadIdx.x < num_few;
    const Candidate own = is_one ? few[threadIdx.x] : 0;
    u32 above = 0;
    for (u32 i = 0; i < num_few; ++i) above += few[i] > own;
    if (is_one && above == k - 1) smem.bound = own;
    __syncthreads();
    if (is_one) few[threadIdx.x] = 0;
    if (threadIdx.x == 0) smem.num_few = 0;
    return smem.bound;
  }

  // As `bound`, of candidates from `first` to `first` + `excess`, in bins of equal numbers of bits.
  __device__ static __forceinline__ Candidate bound_by_bits(Smem& smem, u32 count, Candidate first,
                                                            u64 excess, u32 k) {
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

  // The bits of a number within a bin, of as many bins as there are for `excess`.
  __device__ static __forceinline__ u32 shift_of(u64 excess) {
    const u32 bits = 64 - static_cast<u32>(__clzll(excess));
    return max(bits, kBinBits) - kBinBits;
  }

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

  __device__ static __forceinline__ Candidate from(Candidate own, u32 distance) {
    const u32 low = ptx::shuffle_xor(static_cast<u32>(own), distance);
    const u32 high = ptx::shuffle_xor(static_cast<u32>(own >> 32), distance);
    return static_cast<u64>(high) << 32 | low;
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

  // A thread's bins; the first one has the highest.
  __device__ static __forceinline__ u32* own_bins(Smem& smem) {
    return &smem.bins[kNumBins - (threadIdx.x + 1) * kOwnBins];
  }

  // Loads a thread's bins; returns the sum of all that are higher.
  __device__ static __forceinline__ u32 load_bins(Smem& smem, const u32* bins,
                                                  u32 (&own)[kOwnBins]) {
    u32 sum = 0;
#pragma unroll
    for (u32 i = 0; i < kOwnBins; ++i) sum += own[i] = bins[i];
    u32 total;
    return scan_before<Sum>(smem.warp_sums, sum, total);
  }

  // Returns the bin in which the k-th largest is, and clears all bins.
  __device__ static __forceinline__ Found find(Smem& smem, u32 k) {
    u32* bins = own_bins(smem);
    u32 own[kOwnBins];
    u32 above = load_bins(smem, bins, own);
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
