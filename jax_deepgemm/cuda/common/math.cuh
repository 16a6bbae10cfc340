// Arithmetic of tile sizes, and choices by them.
#pragma once

#include "ptx/types.cuh"

namespace jdg {

__host__ __device__ constexpr int ceil_div(int x, int y) { return (x + y - 1) / y; }

__host__ __device__ constexpr int gcd(int x, int y) { return y == 0 ? x : gcd(y, x % y); }

__host__ __device__ constexpr int min_of(int x, int y) { return x < y ? x : y; }

template <bool kFirst, typename First, typename Second>
struct ConditionalType {
  using Type = First;
};
template <typename First, typename Second>
struct ConditionalType<false, First, Second> {
  using Type = Second;
};

// The first of two types, or the second.
template <bool kFirst, typename First, typename Second>
using Conditional = typename ConditionalType<kFirst, First, Second>::Type;

}  // namespace jdg
