// One ldmatrix or stmatrix per warp, between an image of shared memory and registers.
#include "ptx/copy.cuh"
#include "ptx/ldmatrix.cuh"
#include "ptx/sync.cuh"

namespace jdg {

constexpr u32 kMatrixImageWords = 256;

// The order of matrix.py.
enum MatrixOperation : u32 {
  kLoad1,
  kLoad1Transposed,
  kLoad2,
  kLoad2Transposed,
  kLoad4,
  kLoad4Transposed,
  kStore2,
  kStore2Transposed,
  kStore4,
  kStore4Transposed,
};

__device__ __forceinline__ void load_pair(u32 (&r)[4], u32 address, bool transposed) {
  u32 pair[2];
  if (transposed) {
    ptx::ldmatrix_x2_transposed(pair, address);
  } else {
    ptx::ldmatrix_x2(pair, address);
  }
  r[0] = pair[0];
  r[1] = pair[1];
}

__device__ __forceinline__ void run_operation(u32 operation, u32 (&r)[4], u32 address) {
  switch (operation) {
    case kLoad1:
      r[0] = ptx::ldmatrix_x1(address);
      return;
    case kLoad1Transposed:
      r[0] = ptx::ldmatrix_x1_transposed(address);
      return;
    case kLoad2:
      return load_pair(r, address, false);
    case kLoad2Transposed:
      return load_pair(r, address, true);
    case kLoad4:
      return ptx::ldmatrix_x4(r, address);
    case kLoad4Transposed:
      return ptx::ldmatrix_x4_transposed(r, address);
    case kStore2:
      return ptx::stmatrix_x2(address, r[0], r[1]);
    case kStore2Transposed:
      return ptx::stmatrix_x2_transposed(address, r[0], r[1]);
    case kStore4:
      return ptx::stmatrix_x4(address, r[0], r[1], r[2], r[3]);
    default:
      return ptx::stmatrix_x4_transposed(address, r[0], r[1], r[2], r[3]);
  }
}

// Copies the image through the registers of the warp.
__device__ __forceinline__ u32* load_image(const uint2* image) {
  extern __shared__ __align__(1024) u8 smem_bytes[];
  for (u32 i = threadIdx.x; i < kMatrixImageWords / 2; i += 32) {
    const uint2 pair = image[i];
    ptx::store_shared(ptx::smem_address(smem_bytes) + i * 8, __uint_as_float(pair.x),
                      __uint_as_float(pair.y));
  }
  __syncwarp();
  return reinterpret_cast<u32*>(smem_bytes);
}

}  // namespace jdg

extern "C" __global__ void __launch_bounds__(32, 1)
    matrix_probe(const jdg::u32* operations, const jdg::u32* rows, const uint2* images,
                 const uint4* before, uint4* after, jdg::u32* images_after) {
  using namespace jdg;
  ptx::wait_for_previous_kernel();
  const u32 lane = threadIdx.x;
  const u32 block = blockIdx.x;
  u32* smem = load_image(images + block * (kMatrixImageWords / 2));
  const uint4 start = before[block * 32 + lane];
  u32 r[4] = {start.x, start.y, start.z, start.w};
  run_operation(operations[block], r, ptx::smem_address(smem) + rows[block * 32 + lane] * 16);
  __syncwarp();
  after[block * 32 + lane] = uint4{r[0], r[1], r[2], r[3]};
  for (u32 i = lane; i < kMatrixImageWords; i += 32) {
    images_after[block * kMatrixImageWords + i] = smem[i];
  }
}
