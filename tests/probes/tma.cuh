// Boxes of tensors, from and to shared memory as the host laid it out.
#include "common/pipeline.cuh"
#include "ptx/bulk.cuh"
#include "ptx/sync.cuh"
#include "ptx/tma_add.cuh"
#include "ptx/tma_ranks.cuh"

namespace jdg {

enum TmaAction : u32 { kLoad, kStore, kAdd, kMulticast };

// The order of tma.py.
struct alignas(16) TmaCase {
  u32 map;
  u32 rank;
  u32 bytes;
  u32 action;
  u32 at[5];
  u32 unused[3];
};

constexpr u32 kTmaThreads = 128;
constexpr u32 kBoxBytes = 16 * 1024;

struct TmaProbe {
  TmaCase what;
  const ptx::TensorMap* map;
  u8* smem;
  ptx::Mbarrier& barrier;

  __device__ __forceinline__ void load() const {
    const u32(&x)[5] = what.at;
    switch (what.rank) {
      case 1:
        return ptx::tma_load(smem, map, barrier, x[0]);
      case 2:
        return ptx::tma_load(smem, map, barrier, x[0], x[1]);
      case 3:
        return ptx::tma_load(smem, map, barrier, x[0], x[1], x[2]);
      case 4:
        return ptx::tma_load(smem, map, barrier, x[0], x[1], x[2], x[3]);
      default:
        return ptx::tma_load(smem, map, barrier, x[0], x[1], x[2], x[3], x[4]);
    }
  }

  __device__ __forceinline__ void multicast() const {
    constexpr u16 kBoth = 3;
    const u32(&x)[5] = what.at;
    switch (what.rank) {
      case 2:
        return ptx::tma_load_multicast(smem, map, barrier, kBoth, x[0], x[1]);
      case 3:
        return ptx::tma_load_multicast(smem, map, barrier, kBoth, x[0], x[1], x[2]);
      case 4:
        return ptx::tma_load_multicast(smem, map, barrier, kBoth, x[0], x[1], x[2], x[3]);
      default:
        return ptx::tma_load_multicast(smem, map, barrier, kBoth, x[0], x[1], x[2], x[3], x[4]);
    }
  }

  __device__ __forceinline__ void store() const {
    const u32(&x)[5] = what.at;
    switch (what.rank) {
      case 1:
        return ptx::tma_store(map, smem, x[0]);
      case 2:
        return ptx::tma_store(map, smem, x[0], x[1]);
      case 3:
        return ptx::tma_store(map, smem, x[0], x[1], x[2]);
      case 4:
        return ptx::tma_store(map, smem, x[0], x[1], x[2], x[3]);
      default:
        return ptx::tma_store(map, smem, x[0], x[1], x[2], x[3], x[4]);
    }
  }

  __device__ __forceinline__ void add() const {
    const u32(&x)[5] = what.at;
    switch (what.rank) {
      case 1:
        return ptx::tma_store_add(map, smem, x[0]);
      case 2:
        return ptx::tma_store_add(map, smem, x[0], x[1]);
      case 3:
        return ptx::tma_store_add(map, smem, x[0], x[1], x[2]);
      case 4:
        return ptx::tma_store_add(map, smem, x[0], x[1], x[2], x[3]);
      default:
        return ptx::tma_store_add(map, smem, x[0], x[1], x[2], x[3], x[4]);
    }
  }

  // Global memory to `box`, past shared memory.
  __device__ __forceinline__ void run_load(uint4* box) const {
    if (threadIdx.x == 0) {
      ptx::mbarrier_arrive_expect_tx(barrier, what.bytes);
      load();
    }
    copy_out(box);
  }

  // As above; one of two CTAs loads for both.
  __device__ __forceinline__ void run_multicast(uint4* box) const {
    ptx::cluster_arrive();
    ptx::cluster_wait();
    if (threadIdx.x == 0) {
      ptx::mbarrier_arrive_expect_tx(barrier, what.bytes);
      if (ptx::cluster_cta_rank() == 1) multicast();
    }
    copy_out(box);
    ptx::cluster_arrive();
    ptx::cluster_wait();
  }

  __device__ __forceinline__ void copy_out(uint4* box) const {
    wait(barrier, 0);
    const uint4* source = reinterpret_cast<const uint4*>(smem);
    for (u32 i = threadIdx.x; i < kBoxBytes / 16; i += kTmaThreads) {
      box[i] = i < what.bytes / 16 ? source[i] : uint4{0, 0, 0, 0};
    }
  }

  __device__ __forceinline__ void run_store(const uint4* box) const {
    if (threadIdx.x != 0) return;
    ptx::mbarrier_arrive_expect_tx(barrier, what.bytes);
    ptx::bulk_load(smem, box, what.bytes, barrier);
    wait(barrier, 0);
    if (what.action == kStore) {
      store();
    } else {
      add();
    }
    ptx::tma_store_commit();
    ptx::tma_store_wait();
  }
};

// Starts the barrier behind the box; returns where the box goes.
__device__ __forceinline__ u8* prepare_memory() {
  extern __shared__ __align__(1024) u8 smem_bytes[];
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(*reinterpret_cast<ptx::Mbarrier*>(smem_bytes + kBoxBytes), 1);
    ptx::mbarrier_init_fence();
  }
  __syncthreads();
  return smem_bytes;
}

}  // namespace jdg

extern "C" __global__ void __launch_bounds__(jdg::kTmaThreads, 1)
    tma_probe(const __grid_constant__ jdg::ptx::TensorMap map0,
              const __grid_constant__ jdg::ptx::TensorMap map1,
              const __grid_constant__ jdg::ptx::TensorMap map2,
              const __grid_constant__ jdg::ptx::TensorMap map3,
              const __grid_constant__ jdg::ptx::TensorMap map4, const jdg::TmaCase* cases,
              uint4* boxes) {
  using namespace jdg;
  ptx::wait_for_previous_kernel();
  const TmaCase what = cases[blockIdx.x];
  const ptx::TensorMap* map = what.map == 0   ? &map0
                              : what.map == 1 ? &map1
                              : what.map == 2 ? &map2
                              : what.map == 3 ? &map3
                                              : &map4;
  u8* smem = prepare_memory();
  auto& barrier = *reinterpret_cast<ptx::Mbarrier*>(smem + kBoxBytes);
  const TmaProbe probe = {what, map, smem, barrier};
  uint4* box = boxes + blockIdx.x * (kBoxBytes / 16);
  if (what.action == kLoad) {
    probe.run_load(box);
  } else if (what.action == kMulticast) {
    probe.run_multicast(box);
  } else {
    probe.run_store(box);
  }
}
