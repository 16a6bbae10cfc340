// A ring of stages whose barriers lie apart from them.
//
// As StageRing (common/pipeline.cuh), for stages that fill whole multiples of 1024 bytes, which
// their alignment asks for: with its barriers inside, a stage of 48 KB would take another KB, and
// four of them would leave no room for two staging buffers a warp.
#pragma once

#include "common/pipeline.cuh"

namespace jdg {

struct StageBarriers {
  ptx::Mbarrier full;   // Filled by TMA, awaited by math.
  ptx::Mbarrier empty;  // Released by math of all CTAs of the cluster.
};

template <typename Stage, int kNumStages>
class BarrierRing {
 public:
  __device__ __forceinline__ BarrierRing(Stage (&stages)[kNumStages],
                                         StageBarriers (&barriers)[kNumStages])
      : stage_(stages), barriers_(barriers) {}

  __device__ __forceinline__ Stage& stage() const { return *stage_; }
  __device__ __forceinline__ StageBarriers& barriers() const { return *barriers_; }
  __device__ __forceinline__ u32 index() const { return index_; }
  __device__ __forceinline__ u32 parity() const { return parity_; }

  __device__ __forceinline__ void advance() {
    const bool wraps = ++index_ == kNumStages;
    const int step = wraps ? 1 - kNumStages : 1;
    stage_ += step;
    barriers_ += step;
    index_ = wraps ? 0 : index_;
    parity_ ^= wraps;
  }

 private:
  Stage* stage_;
  StageBarriers* barriers_;
  u32 index_ = 0;
  u32 parity_ = 0;
};

}  // namespace jdg
