// Runs programs of mbarrier operations, and says after each where the barrier stands.
#include "ptx/mbarrier_count.cuh"
#include "ptx/sync.cuh"

namespace jdg {

// The order of mbarrier.py.
enum MbarrierOperation : u32 {
  kInit,
  kInitAgain,
  kArrive,
  kArriveCount,
  kArriveExpect,
  kExpect,
  kComplete,
  kArriveNoComplete,
};

// Returns the pending count that the operation tells, or 0.
__device__ __forceinline__ u32 run_operation(ptx::Mbarrier& barrier, u32 operation, u32 count) {
  switch (operation) {
    case kInit:
      ptx::mbarrier_init(barrier, count);
      return 0;
    case kInitAgain:
      ptx::mbarrier_invalidate(barrier);
      ptx::mbarrier_init(barrier, count);
      return 0;
    case kArrive:
      ptx::mbarrier_arrive(barrier);
      return 0;
    case kArriveCount:
      ptx::mbarrier_arrive(barrier, count);
      return 0;
    case kArriveExpect:
      ptx::mbarrier_arrive_expect_tx(barrier, count);
      return 0;
    case kExpect:
      ptx::mbarrier_expect_tx(barrier, count);
      return 0;
    case kComplete:
      ptx::mbarrier_complete_tx(barrier, count);
      return 0;
    default:
      return ptx::mbarrier_pending_count(ptx::mbarrier_arrive_no_complete(barrier, count));
  }
}

__device__ __forceinline__ ptx::Mbarrier& shared_barrier() {
  extern __shared__ __align__(1024) u8 smem_bytes[];
  return *reinterpret_cast<ptx::Mbarrier*>(smem_bytes);
}

// A single look may come too early.
__device__ __forceinline__ u32 is_complete(ptx::Mbarrier& barrier, u32 parity) {
  for (u32 i = 0; i < 64; ++i) {
    if (ptx::mbarrier_test_wait(barrier, parity)) return 1;
  }
  return 0;
}

}  // namespace jdg

extern "C" __global__ void __launch_bounds__(32, 1)
    mbarrier_probe(const uint2* programs, jdg::u32* records, jdg::u32 length) {
  using namespace jdg;
  ptx::wait_for_previous_kernel();
  if (threadIdx.x != 0) return;
  ptx::Mbarrier& barrier = shared_barrier();
  for (u32 i = 0; i < length; ++i) {
    const uint2 step = programs[blockIdx.x * length + i];
    const u32 pending = run_operation(barrier, step.x, step.y);
    records[blockIdx.x * length + i] =
        is_complete(barrier, 0) | is_complete(barrier, 1) << 1 | pending << 8;
  }
  ptx::mbarrier_invalidate(barrier);
}
