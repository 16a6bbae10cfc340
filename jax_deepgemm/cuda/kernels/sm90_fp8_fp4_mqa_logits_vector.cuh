// What the decoding warps of the Hopper MQA logits do with a vector, and with a stage.
#pragma once

#include "common/fp4_vector.cuh"
#include "common/pipeline.cuh"
#include "ptx/tma.cuh"

namespace jdg {

// Vectors of `kDim` codes, from stages that TMA fills to stages that wgmma reads.
template <int kDim>
struct Fp4StageDecode {
  using Vector = Fp4Vector<kDim>;

  // Decodes vector `row` of those at `codes`, in a swizzle of kSwizzle bytes, to vector `to_row` of
  // those at `to_vectors`, and returns its scale. They lie in the shared memory `raw` and
  // `decoded`.
  template <u32 kSwizzle = kDim / 2, typename Raw, typename Decoded>
  __device__ static __forceinline__ float decode(Raw& raw, u8* codes, u32 row, u32 exponents,
                                                 Decoded& decoded, u8* to_vectors, u32 to_row) {
    const auto from = row_of<SwizzledRow<kDim / 2, kSwizzle>>(raw, codes, row);
    const Fp4Fold fold = Vector::decode(
        from, exponents, row_of<typename Vector::Decoded>(decoded, to_vectors, to_row));
    if (fold.is_wide) raw.any_wide = 1;
    return fold.scale();
  }

  // What the warp read may be overwritten, and what it wrote multiplied.
  __device__ static __forceinline__ void hand_over(ptx::Mbarrier& empty, ptx::Mbarrier& full,
                                                   u32 lane) {
    ptx::fence_proxy_async();
    __syncwarp();
    if (lane == 0) {
      ptx::mbarrier_arrive(empty);
      ptx::mbarrier_arrive(full);
    }
  }

 private:
  template <typename Row, typename Smem>
  __device__ static __forceinline__ Row row_of(Smem& smem, u8* vectors, u32 row) {
    u8* memory = reinterpret_cast<u8*>(&smem);
    return {memory, static_cast<u32>(vectors - memory), row};
  }
};

}  // namespace jdg
