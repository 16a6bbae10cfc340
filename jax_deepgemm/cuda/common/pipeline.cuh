// A ring of stages between producers and consumers, and a wait that cannot hang.
#pragma once

#include "ptx/mbarrier.cuh"

namespace jdg {

// Polls before a wait gives up. try_wait suspends the thread, so this is seconds, far beyond any
// legitimate wait; a trap ends the kernel with an error where an endless loop would hang the GPU.
constexpr u32 kMaxPolls = 1u << 26;

__device__ __forceinline__ void wait(ptx::Mbarrier& barrier, u32 parity) {
  u32 polls = 0;
  while (!ptx::mbarrier_try_wait(barrier, parity)) {
    if (++polls == kMaxPolls) __trap();
  }
}

// A thread's position in a ring of `kNumStages` stages with barriers `full` and `empty`. A
// consumer waits for `full` with `parity`, a producer for `empty` with `parity ^ 1`, so that its
// first round passes. The position is kept as an address that moves by constants: an index would
// have its address computed anew in every step, on the critical path of the main loop.
template <typename Stage, int kNumStages>
class StageRing {
 public:
  __device__ __forceinline__ explicit StageRing(Stage (&stages)[kNumStages]) : stage_(stages) {}

  __device__ __forceinline__ Stage& stage() const { return *stage_; }
  __device__ __forceinline__ u32 parity() const { return parity_; }

  __device__ __forceinline__ void advance() {
    const bool wraps = ++index_ == kNumStages;
    stage_ += wraps ? 1 - kNumStages : 1;
    index_ = wraps ? 0 : index_;
    parity_ ^= wraps;
  }

 private:
  Stage* stage_;
  u32 index_ = 0;
  u32 parity_ = 0;
};

}  // namespace jdg
