// Each CTA of a cluster writes to all of them in every way there is.
#include "common/pipeline.cuh"
#include "ptx/bulk.cuh"
#include "ptx/cluster.cuh"
#include "ptx/copy.cuh"
#include "ptx/mbarrier_count.cuh"
#include "ptx/sync.cuh"
#include "ptx/tma.cuh"

namespace jdg {

constexpr u32 kClusterSize = 4;
constexpr u32 kClusterThreads = 64;

// 16-byte aligned parts; words from CTA i lie in row i.
struct ClusterMemory {
  u32 stored[kClusterSize][kClusterThreads];
  u32 sent[kClusterSize][kClusterThreads];
  u32 sent_four[kClusterSize][kClusterThreads];
  u32 copied[kClusterThreads];
  u32 source[kClusterThreads];
  u32 sums[kClusterThreads];
  u32 message[4];
  ptx::Mbarrier sends;
  ptx::Mbarrier copy;
  ptx::Mbarrier release;
};

class ClusterProbe {
 public:
  // `values` are those of this CTA, one a thread and CTA that it goes to.
  __device__ __forceinline__ ClusterProbe(const u32* values, u32* answers)
      : values_(values), answers_(answers), rank_(ptx::cluster_cta_rank()) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    memory_ = reinterpret_cast<ClusterMemory*>(smem_bytes);
  }

  __device__ __forceinline__ void run() {
    prepare();
    store();
    send();
    copy();
    release();
    meet();  // No CTA may end while another reads it.
  }

 private:
  __device__ __forceinline__ static void meet() {
    ptx::cluster_arrive();
    ptx::cluster_wait();
  }

  __device__ __forceinline__ static u32 at(const void* place, u32 rank) {
    return ptx::map_to_cta(ptx::smem_address(place), rank);
  }

  __device__ __forceinline__ u32 value(u32 rank) const {
    return values_[rank * kClusterThreads + threadIdx.x];
  }

  __device__ __forceinline__ void answer(u32 word) {
    *answers_ = word;
    answers_ += kClusterThreads;
  }

  // Other CTAs wrote what this one waits for.
  __device__ __forceinline__ static void wait_cluster(ptx::Mbarrier& barrier) {
    u32 polls = 0;
    while (!ptx::mbarrier_try_wait_cluster(barrier, 0)) {
      if (++polls == kMaxPolls) __trap();
    }
  }

  __device__ __forceinline__ void prepare() {
    ptx::wait_for_previous_kernel();
    memory_->sums[threadIdx.x] = 0;
    if (threadIdx.x == 0) {
      ptx::mbarrier_init(memory_->sends, 1);
      ptx::mbarrier_init(memory_->copy, 1);
      ptx::mbarrier_init(memory_->release, 1);
      ptx::mbarrier_init_fence();
    }
    __syncthreads();
    meet();
  }

  // Stores, sums and loads between two barriers of the cluster.
  __device__ __forceinline__ void store() {
    for (u32 rank = 0; rank < kClusterSize; ++rank) {
      ptx::store_cluster(at(&memory_->stored[rank_][threadIdx.x], rank), value(rank));
      ptx::reduce_add_cluster(at(&memory_->sums[threadIdx.x], rank), value(rank));
    }
    meet();
    const u32 next = (rank_ + 1) % kClusterSize;
    for (u32 rank = 0; rank < kClusterSize; ++rank) {
      answer(memory_->stored[rank][threadIdx.x]);
      answer(ptx::load_cluster(at(&memory_->stored[rank][threadIdx.x], next)));
    }
    answer(memory_->sums[threadIdx.x]);
  }

  // Asynchronous stores, which a barrier counts.
  __device__ __forceinline__ void send() {
    constexpr u32 kBytes = sizeof(memory_->sent) + sizeof(memory_->sent_four);
    if (threadIdx.x == 0) ptx::mbarrier_arrive_expect_tx(memory_->sends, kBytes);
    for (u32 rank = 0; rank < kClusterSize; ++rank) {
      const u32 barrier = at(&memory_->sends, rank);
      const u32 word = value(rank);
      ptx::store_async(at(&memory_->sent[rank_][threadIdx.x], rank), word, barrier);
      if (threadIdx.x < kClusterThreads / 4) {
        ptx::store_async(at(&memory_->sent_four[rank_][threadIdx.x * 4], rank), word, word + 1,
                         word + 2, word + 3, barrier);
      }
    }
    wait_cluster(memory_->sends);
    for (u32 rank = 0; rank < kClusterSize; ++rank) {
      answer(memory_->sent[rank][threadIdx.x]);
      answer(memory_->sent_four[rank][threadIdx.x]);
    }
  }

  // A copy by TMA to the next CTA.
  __device__ __forceinline__ void copy() {
    constexpr u32 kBytes = sizeof(memory_->copied);
    if (threadIdx.x % 2 == 0) {
      ptx::store_shared(ptx::smem_address(&memory_->source[threadIdx.x]),
                        __uint_as_float(values_[threadIdx.x]),
                        __uint_as_float(values_[threadIdx.x + 1]));
    }
    ptx::fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) {
      ptx::mbarrier_arrive_expect_tx(memory_->copy, kBytes);
      ptx::bulk_send(memory_->copied, (rank_ + 1) % kClusterSize, memory_->source, kBytes,
                     memory_->copy);
    }
    wait_cluster(memory_->copy);
    answer(memory_->copied[threadIdx.x]);
  }

  // A store and an arrival that releases it.
  __device__ __forceinline__ void release() {
    const u32 other = (rank_ + 2) % kClusterSize;
    if (threadIdx.x == 0) {
      ptx::store_cluster(at(&memory_->message[0], other), value(other));
      ptx::mbarrier_arrive_remote_release(memory_->release, other);
    }
    wait_cluster(memory_->release);
    answer(memory_->message[0]);
  }

  const u32* values_;
  u32* answers_;
  u32 rank_;
  ClusterMemory* memory_;
};

constexpr u32 kClusterAnswers = 4 * kClusterSize + 3;

}  // namespace jdg

extern "C" __global__ void __launch_bounds__(jdg::kClusterThreads, 1)
    cluster_probe(const jdg::u32* values, jdg::u32* answers) {
  using namespace jdg;
  ClusterProbe probe(values + blockIdx.x * (kClusterSize * kClusterThreads),
                     answers + blockIdx.x * (kClusterAnswers * kClusterThreads) + threadIdx.x);
  probe.run();
}
