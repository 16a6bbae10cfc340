// Warpgroup matrix multiply-accumulate with operand A in registers.
//
// A is 16 rows of 32 bytes per warp, whatever the type: lane l has bytes 4 (l % 4) ... + 3 of row
// l / 4 in a[0] and of row l / 4 + 8 in a[1]; a[2] and a[3] are the same rows 16 bytes on. One
// ldmatrix_x4 loads it. The tensor cores read the registers until wgmma_wait: until then the
// thread must neither write nor read them.
#pragma once

#include "ptx/wgmma.cuh"
#include "ptx/wgmma_rs_registers.cuh"

namespace jdg::ptx {

// Keeps the compiler from moving writes of A across a fence or a wait; no instruction.
template <int kCount>
__device__ __forceinline__ void fence_registers(u32 (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(registers[i])::"memory");
}

// As wgmma_e4m3, wgmma_bf16 and wgmma_tf32 with A from registers. Each is defined by its macro.
template <int kN>
__device__ void wgmma_e4m3_rs(float (&d)[kN / 2], u32 (&a)[4], u64 b, bool accumulate);

template <int kN, int kTransposeB>
__device__ void wgmma_bf16_rs(float (&d)[kN / 2], u32 (&a)[4], u64 b, bool accumulate);

template <int kN>
__device__ void wgmma_tf32_rs(float (&d)[kN / 2], u32 (&a)[4], u64 b, bool accumulate);

}  // namespace jdg::ptx

// In-out operands for the reason given in ptx/wgmma.cuh.
#define JDG_WGMMA_RS_BODY(N, SHAPE, BITS)                                       \
  u32 scale_d = accumulate;                                                     \
  asm volatile(                                                                 \
      "{\n"                                                                     \
      ".reg .pred p;\n"                                                         \
      "setp.ne.b32 p, %5, 0;\n"                                                 \
      "wgmma.mma_async.sync.aligned.m64n" #N SHAPE " {" JDG_WGMMA_RS_NAMES_##N  \
      "}, {%0, %1, %2, %3}, %4, p, 1, 1" BITS                                   \
      ";\n"                                                                     \
      "}"                                                                       \
      : "+r"(a[0]), "+r"(a[1]), "+r"(a[2]), "+r"(a[3]), "+l"(b), "+r"(scale_d), \
        JDG_WGMMA_OPERANDS_##N);

#define JDG_DEFINE_WGMMA_E4M3_RS(N)                                                       \
  namespace jdg::ptx {                                                                    \
  template <>                                                                             \
  __device__ __forceinline__ void wgmma_e4m3_rs<N>(float (&d)[N / 2], u32 (&a)[4], u64 b, \
                                                   bool accumulate) {                     \
    JDG_WGMMA_RS_BODY(N, "k32.f32.e4m3.e4m3", "")                                         \
  }                                                                                       \
  }

#define JDG_DEFINE_WGMMA_BF16_RS(N, TRANSPOSE_B)                                                \
  namespace jdg::ptx {                                                                          \
  template <>                                                                                   \
  __device__ __forceinline__ void wgmma_bf16_rs<N, TRANSPOSE_B>(float (&d)[N / 2], u32 (&a)[4], \
                                                                u64 b, bool accumulate) {       \
    JDG_WGMMA_RS_BODY(N, "k16.f32.bf16.bf16", ", " #TRANSPOSE_B)                                \
  }                                                                                             \
  }

#define JDG_DEFINE_WGMMA_TF32_RS(N)                                                       \
  namespace jdg::ptx {                                                                    \
  template <>                                                                             \
  __device__ __forceinline__ void wgmma_tf32_rs<N>(float (&d)[N / 2], u32 (&a)[4], u64 b, \
                                                   bool accumulate) {                     \
    JDG_WGMMA_RS_BODY(N, "k8.f32.tf32.tf32", "")                                          \
  }                                                                                       \
  }
