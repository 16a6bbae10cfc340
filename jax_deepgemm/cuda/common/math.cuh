// Integer arithmetic of tile sizes.
#pragma once

#include "ptx/types.cuh"

namespace jdg {

__host__ __device__ constexpr int ceil_div(int x, int y) { return (x + y - 1) / y; }

__host__ __device__ constexpr int gcd(int x, int y) { return y == 0 ? x : gcd(y, x % y); }

__host__ __device__ constexpr int min_of(int x, int y) { return x < y ? x : y; }

}  // namespace jdg
