// Warpgroup matrix multiply-accumulate on FP8 (PTX ISA, "wgmma").
//
// One instruction names all of its N / 2 accumulator registers, so each N needs its own spelling.
// Parsing all 32 of them costs more than compiling a kernel: a translation unit asks for the one
// it needs with JDG_DEFINE_WGMMA_E4M3(N) before it instantiates the kernel.
#pragma once

#include "ptx/types.cuh"
#include "ptx/wgmma_registers.cuh"

namespace jdg::ptx {

__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Returns when all but the last `kPending` committed groups are done.
template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving uses of accumulators across a wait; no instruction.
template <int kCount>
__device__ __forceinline__ void fence_registers(float (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(registers[i])::"memory");
}

// d = a * b (+ d if `accumulate`): 64 x 32 by 32 x N, e4m3 K-major operands in shared memory,
// float32 accumulators. Defined per N by JDG_DEFINE_WGMMA_E4M3.
template <int kN>
__device__ void wgmma_e4m3(float (&d)[kN / 2], u64 a, u64 b, bool accumulate);

}  // namespace jdg::ptx

// The descriptors come first and as in-out operands because inline PTX numbers outputs before
// inputs, and the number of the accumulators must not depend on N.
#define JDG_WGMMA_BODY(N, SHAPE, BITS)                                      \
  u32 scale_d = accumulate;                                                 \
  asm volatile(                                                             \
      "{\n"                                                                 \
      ".reg .pred p;\n"                                                     \
      "setp.ne.b32 p, %2, 0;\n"                                             \
      "wgmma.mma_async.sync.aligned.m64n" #N SHAPE " {" JDG_WGMMA_NAMES_##N \
      "}, %0, %1, p, 1, 1" BITS                                             \
      ";\n"                                                                 \
      "}"                                                                   \
      : "+l"(a), "+l"(b), "+r"(scale_d), JDG_WGMMA_OPERANDS_##N);

#define JDG_DEFINE_WGMMA_E4M3(N)                                                 \
  namespace jdg::ptx {                                                           \
  template <>                                                                    \
  __device__ __forceinline__ void wgmma_e4m3<N>(float (&d)[N / 2], u64 a, u64 b, \
                                                bool accumulate) {               \
    JDG_WGMMA_BODY(N, "k32.f32.e4m3.e4m3", "")                                   \
  }                                                                              \
  }
