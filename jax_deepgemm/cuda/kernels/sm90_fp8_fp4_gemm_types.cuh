// What the Hopper FP8 GEMM is told where B has FP4 codes.
#pragma once

#include "common/fp4_decode.cuh"
#include "kernels/sm90_fp8_gemm_types.cuh"

namespace jdg {

// `b` is {K / 2 bytes, N, group}; `sfb_rows` is N.
struct Sm90Fp8Fp4GemmParams : Sm90Fp8GemmParams {
  const u32* exponents;  // [group, N, num_k_blocks]: four UE8M0 scales of 32 codes each.
  u32 num_fp4_groups;    // Groups of 32 along K.
};

struct Fp4Work : DenseWork {
  using Params = Sm90Fp8Fp4GemmParams;
};

template <>
inline constexpr bool kDecodesB<Fp4Work> = true;

}  // namespace jdg
