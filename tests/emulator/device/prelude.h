// CUDA's spellings for the host compiler: goes before a kernel's translation unit.
#pragma once

#include <bit>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <utility>

#include "runtime/api.h"
#include "runtime/launch.h"

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__
#define __align__(bytes) __attribute__((aligned(bytes)))

#define threadIdx (::jdg::emu::thread_index())
#define blockIdx (::jdg::emu::block_index())
#define gridDim (::jdg::emu::grid_size())

struct alignas(8) float2 {
  float x, y;
};

struct alignas(16) float4 {
  float x, y, z, w;
};

struct alignas(8) uint2 {
  unsigned x, y;
};

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

__forceinline__ unsigned min(unsigned x, unsigned y) { return x < y ? x : y; }
__forceinline__ int min(int x, int y) { return x < y ? x : y; }
__forceinline__ unsigned max(unsigned x, unsigned y) { return x > y ? x : y; }
__forceinline__ int max(int x, int y) { return x > y ? x : y; }
__forceinline__ int __ffs(unsigned x) { return x == 0 ? 0 : std::countr_zero(x) + 1; }
__forceinline__ unsigned long long min(unsigned long long x, unsigned long long y) {
  return x < y ? x : y;
}
__forceinline__ unsigned long long max(unsigned long long x, unsigned long long y) {
  return x > y ? x : y;
}
__forceinline__ int __popc(unsigned x) { return std::popcount(x); }
__forceinline__ int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
__forceinline__ int __clzll(unsigned long long x) { return std::countl_zero(x); }
__forceinline__ unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
__forceinline__ float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
__forceinline__ float __fmul_rn(float x, float y) { return x * y; }
__forceinline__ float __fmul_ru(float x, float y) {
  const double exact = static_cast<double>(x) * y;
  const float nearest = static_cast<float>(exact);
  return nearest < exact ? std::nextafter(nearest, INFINITY) : nearest;
}
__forceinline__ float __fdiv_rn(float x, float y) { return x / y; }
__forceinline__ float expf(float x) { return std::exp(x); }
__forceinline__ float __frcp_rn(float x) { return 1.0f / x; }
__forceinline__ unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  shift %= 32;
  return shift == 0 ? high : high << shift | low >> (32 - shift);
}
__forceinline__ unsigned __dp4a(unsigned x, unsigned y, unsigned sum) {
  for (int i = 0; i < 32; i += 8) sum += (x >> i & 0xFF) * (y >> i & 0xFF);
  return sum;
}
__forceinline__ float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }

__forceinline__ void __syncwarp(unsigned mask = 0xFFFFFFFF) { jdg::emu::sync_warp(mask); }
__forceinline__ void __syncthreads() { jdg::emu::sync_threads(); }
__forceinline__ unsigned __shfl_sync(unsigned mask, unsigned value, unsigned lane) {
  jdg::emu::sync_warp(mask);
  return jdg::emu::shuffle(value, lane % 32);
}
[[noreturn]] __forceinline__ void __trap() { jdg::emu::trap(); }

namespace jdg::emu {

// Calls `kernel` with arguments behind pointers.
template <typename... Args>
struct Invoker {
  static constexpr size_t kBytes[] = {sizeof(Args)...};

  static void call(void (*kernel)(Args...), const void* const* params) {
    call(kernel, params, std::index_sequence_for<Args...>());
  }

  // The arguments are no memory of the kernel.
  template <size_t... kIndex>
  __attribute__((no_sanitize("thread"))) static void call(void (*kernel)(Args...),
                                                          const void* const* params,
                                                          std::index_sequence<kIndex...>) {
    kernel(*static_cast<const Args*>(params[kIndex])...);
  }
};

template <typename... Args>
Invoker<Args...> invoker_of(void (*)(Args...)) {
  return {};
}

}  // namespace jdg::emu

// Goes after the translation unit: what the launcher finds by the kernel's name on a GPU.
#define JDG_EMULATE(kernel)                                              \
  extern "C" void jdg_invoke_##kernel(const void* const* params) {       \
    decltype(jdg::emu::invoker_of(kernel))::call(kernel, params);        \
  }                                                                      \
  extern "C" size_t jdg_parameter_bytes_##kernel(const size_t** bytes) { \
    *bytes = decltype(jdg::emu::invoker_of(kernel))::kBytes;             \
    return std::size(decltype(jdg::emu::invoker_of(kernel))::kBytes);    \
  }
