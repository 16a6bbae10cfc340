// Pairs of CTAs that hand words to each other through flags, and a clock that goes on.
#include "ptx/sync.cuh"
#include "ptx/system.cuh"

namespace jdg {

constexpr u32 kSystemThreads = 64;
constexpr u32 kSystemRounds = 3;
constexpr u64 kPatience = 2000000000;  // Nanoseconds.

// One thread: whether the flag comes to `round` in time.
__device__ __forceinline__ bool wait_for(const u32* flag, u32 round, bool of_gpu) {
  const u64 start = ptx::global_timer();
  while (ptx::global_timer() - start < kPatience) {
    const u32 seen = of_gpu ? ptx::load_acquire_gpu(flag) : ptx::load_acquire_system(flag);
    if (seen >= round) return true;
  }
  return false;
}

// The first thread says that this CTA's words of the round are there, and waits for the other's.
__device__ __forceinline__ bool meet(u32* flags, u32 round) {
  extern __shared__ __align__(1024) u8 smem_bytes[];
  bool& came = *reinterpret_cast<bool*>(smem_bytes);
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::fence_system();
    ptx::store_system(&flags[blockIdx.x], round);
    came = wait_for(&flags[blockIdx.x ^ 1], round, round % 2 == 0);
  }
  __syncthreads();
  return came;
}

}  // namespace jdg

// `flags` begin as zeros; each CTA writes its `words`, and then those of its partner to `answers`.
extern "C" __global__ void __launch_bounds__(jdg::kSystemThreads, 1)
    system_probe(jdg::u32* flags, const jdg::u32* values, jdg::u32* words, jdg::u32* swapped,
                 jdg::u32* answers) {
  using namespace jdg;
  ptx::wait_for_previous_kernel();
  const u32 own = blockIdx.x * kSystemThreads + threadIdx.x;
  const u32 other = (blockIdx.x ^ 1) * kSystemThreads + kSystemThreads - 1 - threadIdx.x;
  u32 sum = 0;
  for (u32 round = 1; round <= kSystemRounds; ++round) {
    words[own] = values[own] * round;
    const bool came = meet(flags, round * 2 - 1);
    sum = sum * 3 + words[other];
    // Nobody writes again before all have read.
    if (!meet(flags, round * 2) || !came) sum = 0;
  }
  answers[own] = sum;
  // The first finds 0, the second what the first left.
  const u32 before = ptx::compare_and_swap_system(&swapped[own], 0, values[own]);
  swapped[own] += before + ptx::compare_and_swap_system(&swapped[own], 0, 1);
}
