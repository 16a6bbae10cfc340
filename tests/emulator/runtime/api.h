// What the emulated cuda/ptx/ calls. Shared-memory addresses are those of the CTA's window.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace jdg::emu {

// Identity.
struct Index {
  uint32_t x, y, z;
};
Index thread_index();
Index block_index();
Index grid_size();
uint32_t cluster_rank();
uint32_t shared_address(const void* pointer);

// Threads.
void sync_warp(uint32_t mask);
void sync_threads();
uint32_t lane_index();
uint32_t shuffle(uint32_t value, uint32_t source);
uint32_t ballot(bool mine);
uint32_t match_any(uint32_t value);
bool elect();
void named_barrier(uint32_t id, uint32_t threads, bool waits);
void cluster_arrive();
void cluster_wait();
void change_registers(bool acquire, uint32_t count);
void wait_for_previous_kernel();
void launch_next_kernel();
[[noreturn]] void trap();

// Barriers.
void barrier_init(uint32_t address, uint32_t arrivals);
void barrier_init_fence();
void barrier_arrive(uint32_t address, uint32_t bytes);
void barrier_arrive_remote(uint32_t address, uint32_t rank);
void barrier_arrive_count(uint32_t address, uint32_t count);
uint64_t barrier_arrive_no_complete(uint32_t address, uint32_t count);
void barrier_expect(uint32_t address, uint32_t bytes);
void barrier_complete(uint32_t address, uint32_t bytes);
void barrier_invalidate(uint32_t address);
bool barrier_test(uint32_t address, uint32_t parity);
bool barrier_try(uint32_t address, uint32_t parity);

// Copies.
using Coordinates = std::initializer_list<uint32_t>;
void prefetch_tensor_map(const void* map);
void tma_load(uint32_t address, const void* map, uint32_t barrier, Coordinates coordinates);
void tma_load_multicast(uint32_t address, const void* map, uint32_t barrier, uint32_t ctas,
                        Coordinates coordinates);
void tma_store(const void* map, uint32_t address, Coordinates coordinates);
void tma_store_add(const void* map, uint32_t address, Coordinates coordinates);
void tma_store_commit();
void tma_store_wait(uint32_t pending, bool only_reads);
void bulk_load(uint32_t address, const void* global, uint32_t bytes, uint32_t barrier);
void bulk_store(void* global, uint32_t address, uint32_t bytes, bool adds);
void bulk_send(uint32_t target, uint32_t rank, uint32_t address, uint32_t bytes, uint32_t barrier);
void fence_proxy_async();
void copy_async(uint32_t address, const void* global, uint32_t bytes, uint32_t valid_bytes);
void copy_async_arrive(uint32_t barrier);
void store_shared(uint32_t address, const void* data, uint32_t bytes);
void store_matrices(uint32_t address, std::initializer_list<uint32_t> registers, bool transposed);
void load_matrices(uint32_t address, uint32_t* registers, uint32_t count, bool transposed);

// Atomic operations.
uint32_t atomic_add(uint32_t* global, uint32_t value);
uint32_t atomic_max(uint32_t* global, uint32_t value);
void reduce_add(float* global, std::initializer_list<float> values);
uint32_t atomic_shared(uint32_t address, uint32_t value, bool is_max);
void fence_gpu();

// Memory that other devices see, and time.
uint32_t load_acquire(const uint32_t* global, bool of_system);
void store_system(uint32_t* global, uint32_t value);
uint32_t compare_and_swap(uint32_t* global, uint32_t expected, uint32_t value);
void fence_system();
uint64_t global_timer();

// Other CTAs of the cluster.
uint32_t map_to_cta(uint32_t address, uint32_t rank);
uint32_t load_cluster(uint32_t mapped);
void store_cluster(uint32_t mapped, uint32_t value, bool adds);
void store_async(uint32_t mapped, std::initializer_list<uint32_t> values, uint32_t mapped_barrier);
void settle_remote_stores();

// Tensor cores.
void mma_fence();
void mma_commit();
void mma_wait(uint32_t pending);
enum class MmaType { kE4m3, kBf16, kTf32 };
struct MmaOperand {
  uint64_t descriptor;
  bool transposed = false;        // MN-major.
  uint32_t* registers = nullptr;  // Four of them instead of a descriptor.
};
void mma(MmaType type, float* accumulators, int n, const MmaOperand& a, const MmaOperand& b,
         bool accumulate);

}  // namespace jdg::emu

// Starts every function above that can block: notes where the kernel calls it, and lets others run.
#define JDG_ENTER() machine().enter(__func__, __builtin_return_address(0))
// The same of an operation that threads repeat until something happens.
#define JDG_ENTER_POLL() machine().enter(__func__, __builtin_return_address(0), true)
