// The scales that rows of B have in common, for kernels whose warps walk K once.
#pragma once

#include "ptx/types.cuh"
#include "ptx/warp.cuh"

namespace jdg {

// One scale per K block, for a run of K blocks: a lane holds every 32nd, and the next 32 are on
// their way.
class BlockScales {
 public:
  // `line` are the bits of the scales of all `end` K blocks; the run begins at `first`.
  __device__ __forceinline__ BlockScales(const u32* line, u32 first, u32 end, u32 lane)
      : line_(line), next_(first + lane), end_(end) {
    refill();
    refill();
  }

  // The scale of the next K block. All lanes call it together.
  __device__ __forceinline__ float take() {
    const float scale = __uint_as_float(ptx::shuffle(current_, index_));
    if (++index_ == 32) refill();
    return scale;
  }

 private:
  __device__ __forceinline__ void refill() {
    current_ = following_;
    following_ = next_ < end_ ? line_[next_] : 0;  // Zero: a K block that is not there.
    next_ += 32;
    index_ = 0;
  }

  const u32* line_;
  u32 next_;
  u32 end_;
  u32 current_ = 0;
  u32 following_ = 0;
  u32 index_ = 0;
};

}  // namespace jdg
