// Stands in for cuda/ptx/wgmma.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ void wgmma_fence() { emu::mma_fence(); }

__forceinline__ void wgmma_commit() { emu::mma_commit(); }

template <int kPending>
__forceinline__ void wgmma_wait() {
  emu::mma_wait(kPending);
}

// Every call of the emulator may change accumulators, since it holds pointers to them.
template <int kCount>
__forceinline__ void fence_registers(float (&)[kCount]) {}

template <int kN>
void wgmma_e4m3(float (&d)[kN / 2], u64 a, u64 b, bool accumulate);

// Multiplies K-major operands in shared memory, unless told otherwise.
template <int kN>
__forceinline__ void start_product(emu::MmaType type, float (&d)[kN / 2], emu::MmaOperand a,
                                   emu::MmaOperand b, bool accumulate) {
  static_assert(kN % 8 == 0 && kN >= 8 && kN <= 256);
  emu::mma(type, d, kN, a, b, accumulate);
}

}  // namespace jdg::ptx

#define JDG_DEFINE_WGMMA_E4M3(N)                                                         \
  namespace jdg::ptx {                                                                   \
  template <>                                                                            \
  __forceinline__ void wgmma_e4m3<N>(float (&d)[N / 2], u64 a, u64 b, bool accumulate) { \
    start_product<N>(emu::MmaType::kE4m3, d, {a}, {b}, accumulate);                      \
  }                                                                                      \
  }
