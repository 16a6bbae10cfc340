// Multiplies operands that the host laid out in shared memory or in registers.
//
// Before this text come the includes and definitions of the products, after it the entry point
// that chooses among them.
#include "common/pipeline.cuh"
#include "ptx/bulk.cuh"
#include "ptx/ldmatrix.cuh"
#include "ptx/sync.cuh"

namespace jdg {

// The order of wgmma.py.
struct alignas(16) WgmmaCase {
  u64 a;  // Descriptors, relative to the image.
  u64 b;
  u32 product;
  u32 accumulate;
  u32 a_step;  // From one product to the next, in 16 bytes.
  u32 b_step;
  u32 image_offset;  // In 16 bytes.
  u32 image_bytes;
  u32 a_in_memory;  // A goes to registers from the image, by ldmatrix.
  u32 unused;
};

class WgmmaProbe {
 public:
  static constexpr int kNumThreads = 128;
  static constexpr u32 kImageBytes = 128 * 1024;

  __device__ __forceinline__ WgmmaProbe(const WgmmaCase* cases, const uint4* images,
                                        const uint4* fragments, float* sums)
      : case_(cases[blockIdx.x]),
        fragments_(fragments + blockIdx.x * 2 * kNumThreads),
        sums_(sums + blockIdx.x * kNumThreads * kNumThreads) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    load_image(smem_bytes, images + case_.image_offset);
    image_ = ptx::smem_address(smem_bytes);
    const u32 base = image_ >> 4;
    case_.a += base;
    case_.b += base;
  }

  __device__ __forceinline__ u32 product() const { return case_.product; }

  // Both operands in shared memory.
  template <int kN, typename Multiply>
  __device__ __forceinline__ void run(Multiply multiply) const {
    float d[kN / 2];
    initialise(d);
    ptx::fence_registers(d);
    ptx::wgmma_fence();
    multiply(d, case_.a, case_.b, case_.accumulate != 0);
    multiply(d, case_.a + case_.a_step, case_.b + case_.b_step, true);
    finish(d);
  }

  // A in registers.
  template <int kN, typename Multiply>
  __device__ __forceinline__ void run_rs(Multiply multiply) const {
    u32 a[2][4];
    load_fragment(a[0], 0);
    load_fragment(a[1], 1);
    float d[kN / 2];
    initialise(d);
    ptx::fence_registers(d);
    ptx::fence_registers(a[0]);
    ptx::fence_registers(a[1]);
    ptx::wgmma_fence();
    multiply(d, a[0], case_.b, case_.accumulate != 0);
    multiply(d, a[1], case_.b + case_.b_step, true);
    finish(d);
  }

 private:
  __device__ __forceinline__ void load_image(u8* image, const uint4* source) const {
    auto& barrier = *reinterpret_cast<ptx::Mbarrier*>(image + kImageBytes);
    if (threadIdx.x == 0) {
      ptx::mbarrier_init(barrier, 1);
      ptx::mbarrier_init_fence();
      ptx::mbarrier_arrive_expect_tx(barrier, case_.image_bytes);
      ptx::bulk_load(image, source, case_.image_bytes, barrier);
    }
    __syncthreads();
    wait(barrier, 0);
  }

  // The host gives registers, or where the lane's row is in the image.
  __device__ __forceinline__ void load_fragment(u32 (&a)[4], u32 step) const {
    const uint4 values = fragments_[step * kNumThreads + threadIdx.x];
    if (case_.a_in_memory != 0) {
      ptx::ldmatrix_x4(a, image_ + values.x);
      return;
    }
    a[0] = values.x;
    a[1] = values.y;
    a[2] = values.z;
    a[3] = values.w;
  }

  // Sums that a product without `accumulate` must not keep.
  template <int kCount>
  __device__ __forceinline__ static void initialise(float (&d)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) d[i] = static_cast<float>((threadIdx.x * 7 + i * 5) % 32);
  }

  template <int kCount>
  __device__ __forceinline__ void finish(float (&d)[kCount]) const {
    ptx::wgmma_commit();
    ptx::wgmma_wait<0>();
    ptx::fence_registers(d);
#pragma unroll
    for (int i = 0; i < kCount; ++i) sums_[i * kNumThreads + threadIdx.x] = d[i];
#pragma unroll
    for (int i = kCount; i < kNumThreads; ++i) sums_[i * kNumThreads + threadIdx.x] = 0;
  }

  WgmmaCase case_;
  const uint4* fragments_;
  float* sums_;
  u32 image_;
};

}  // namespace jdg
