// Two warps write and two read, in turns kept by named barriers; and atomic operations of all.
#include "ptx/atomic.cuh"
#include "ptx/named_barrier.cuh"
#include "ptx/sync.cuh"

namespace jdg {

constexpr u32 kSyncThreads = 128;
constexpr u32 kSyncRounds = 6;

struct SyncMemory {
  u32 slots[kSyncThreads / 2];
  u32 tickets;
  u32 largest;
  u32 taken[kSyncThreads];
  u32 is_last;
};

// The host's view of global memory, in order.
struct SyncTotals {
  u32 count;
  u32 largest;
  u32 arrived;
  u32 unused;
  float sums[kSyncThreads];
  float fours[kSyncThreads];
};

__device__ __forceinline__ SyncMemory& prepare_memory() {
  extern __shared__ __align__(1024) u8 smem_bytes[];
  auto& memory = *reinterpret_cast<SyncMemory*>(smem_bytes);
  if (threadIdx.x == 0) memory.tickets = memory.largest = 0;
  memory.taken[threadIdx.x] = 0;
  ptx::wait_for_previous_kernel();
  __syncthreads();
  return memory;
}

// Returns what the readers saw; barrier 1 says "written", barrier 2 "read".
__device__ __forceinline__ u32 exchange(SyncMemory& memory, u32 value) {
  constexpr u32 kHalf = kSyncThreads / 2;
  u32 seen = 0;
  for (u32 round = 0; round < kSyncRounds; ++round) {
    if (threadIdx.x < kHalf) {
      memory.slots[threadIdx.x] = value + round;
      ptx::barrier_arrive(1, kSyncThreads);
      ptx::barrier_sync(2, kSyncThreads);
    } else {
      ptx::barrier_sync(1, kSyncThreads);
      seen = seen * 3 + memory.slots[kSyncThreads - 1 - threadIdx.x];
      ptx::barrier_arrive(2, kSyncThreads);
    }
  }
  return seen;
}

// Every thread takes another ticket; returns how many this thread's ticket was taken.
__device__ __forceinline__ u32 take_ticket(SyncMemory& memory, u32 value) {
  const u32 ticket = ptx::atomic_add_shared(ptx::smem_address(&memory.tickets), 1);
  ptx::atomic_max_shared(ptx::smem_address(&memory.largest), value);
  ptx::atomic_add_shared(ptx::smem_address(&memory.taken[ticket % kSyncThreads]), 1);
  __syncthreads();
  return memory.taken[threadIdx.x];
}

// Sums over CTAs. The last CTA to come sees all of them, and returns the sum of a column.
__device__ __forceinline__ float accumulate(SyncMemory& memory, SyncTotals* totals, u32 value) {
  ptx::atomic_add(&totals->count, value);
  ptx::atomic_max(&totals->largest, value);
  const float x = static_cast<float>(value % 1024);
  ptx::reduce_add(&totals->sums[threadIdx.x], x);
  if (threadIdx.x < kSyncThreads / 4) {
    ptx::reduce_add(&totals->fours[threadIdx.x * 4], x, x + 1, x + 2, x + 3);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::fence_gpu();
    memory.is_last = ptx::atomic_add(&totals->arrived, 1) == gridDim.x - 1;
    ptx::fence_gpu();
  }
  __syncthreads();
  return memory.is_last != 0 ? totals->sums[threadIdx.x] : 0.0f;
}

}  // namespace jdg

extern "C" __global__ void __launch_bounds__(jdg::kSyncThreads, 1)
    sync_probe(jdg::SyncTotals* totals, const jdg::u32* values, float* last, jdg::u32* answers) {
  using namespace jdg;
  SyncMemory& memory = prepare_memory();
  const u32 index = blockIdx.x * kSyncThreads + threadIdx.x;
  const u32 value = values[index];
  answers[index * 3] = exchange(memory, value);
  answers[index * 3 + 1] = take_ticket(memory, value);
  answers[index * 3 + 2] = memory.largest;
  const float sum = accumulate(memory, totals, value);
  if (memory.is_last != 0) last[threadIdx.x] = sum;
}
