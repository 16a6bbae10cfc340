// Where a cast's values come from: an array as it is, or what makes them of arrays on the way.
#pragma once

#include "common/cast_values.cuh"
#include "common/swiglu.cuh"

namespace jdg {

// Mirrors `CastSource` in heuristics/sm90_cast.py. What is cast is [num_rows, num_columns], and so
// is x unless another shape is named.
enum class CastSource {
  kPlain,           // x.
  kGather,          // Row i is row row_indices[i] of x [num_source_rows, num_columns], or zeros.
  kSwiglu,          // silu(gate) * up of x = [gate, up], [num_rows, 2 num_columns].
  kWeightedSwiglu,  // silu(min(gate, c)) * clip(up, -c, c) * row_factors.
  kSwigluGradient,  // The gradient to x = [gate, up], of dy to silu(gate) * up.
  kRmsNorm,         // x * row_factors * weight.
};

struct CastSourceParams {
  const void* x;
  const void* second;  // int row_indices[num_rows], dy as x, float weight[num_columns] or float c.
  const float* row_factors;  // [num_rows].
  u32 num_source_rows;       // What row_indices may name.
};

// With kAligned, all rows begin at multiples of 16 bytes and hold whole pieces of eight. Without
// kFastMath, what exponentials are needed for is as exact as float32 allows.
template <CastSource kSource, bool kFloat32, bool kAligned, bool kFastMath>
struct CastInput {
  static_assert(kFastMath || kSource == CastSource::kWeightedSwiglu, "the only one that is asked");
  using Piece = Eight<kFloat32>;
  static constexpr bool kHasGateAndUp =
      kSource == CastSource::kSwiglu || kSource == CastSource::kWeightedSwiglu;
  // Pieces made at once, num_columns / kNumOutputs columns apart.
  static constexpr u32 kNumOutputs = kSource == CastSource::kSwigluGradient ? 2 : 1;

  struct Outputs {
    Piece pieces[kNumOutputs];
  };

  // A row of what is cast.
  struct Row {
    u64 offset;     // In x.
    float factor;   // kRmsNorm, kWeightedSwiglu.
    bool is_found;  // kGather: x has it.
  };

  // The first `count` of eight elements of an array with the columns of x.
  __device__ static __forceinline__ Piece piece(const void* x, u64 first, u32 count) {
    return load_eight<kFloat32, kAligned>(x, first, count);
  }

  // Row first + step, counted over the batch; nothing is read for it unless it is inside.
  __device__ static __forceinline__ Row row(const CastSourceParams& source, u64 first, u32 step,
                                            u32 num_columns, bool is_inside) {
    if constexpr (kSource == CastSource::kGather) {
      const int* indices = static_cast<const int*>(source.second);
      const u32 index = is_inside ? static_cast<u32>(indices[first + step]) : ~0u;
      // A negative index is a large one.
      const u64 batch = static_cast<u64>(blockIdx.z) * source.num_source_rows;
      return {(batch + index) * num_columns, 0.0f, index < source.num_source_rows};
    }
    const u64 pitch = kHasGateAndUp ? static_cast<u64>(num_columns) * 2 : num_columns;
    const u64 offset = first * pitch + step * pitch;
    if constexpr (kSource == CastSource::kRmsNorm || kSource == CastSource::kWeightedSwiglu) {
      return {offset, is_inside ? source.row_factors[first + step] : 0.0f, true};
    }
    return {offset, 0.0f, true};
  }

  // What the rows of a piece's columns share: the weights.
  __device__ static __forceinline__ Eight<true> weight(const CastSourceParams& source, u32 column,
                                                       u32 count) {
    if constexpr (kSource == CastSource::kRmsNorm) {
      return load_eight<true, kAligned>(source.second, column, count);
    } else {
      return {};
    }
  }

  // The piece of `row` from element `first` of x on, of which `count` columns are there; or the
  // pieces of both halves.
  __device__ static __forceinline__ Outputs load(const CastSourceParams& source,
                                                 const Eight<true>& weight, const Row& row,
                                                 u64 first, u32 num_columns, u32 count) {
    if constexpr (kSource == CastSource::kGather) {
      return {{piece(source.x, first, row.is_found ? count : 0)}};
    } else if constexpr (kSource == CastSource::kSwiglu) {
      const Piece gate = piece(source.x, first, count);
      return {{swiglu(gate, piece(source.x, first + num_columns, count))}};
    } else if constexpr (kSource == CastSource::kWeightedSwiglu) {
      const Piece gate = piece(source.x, first, count);
      const Piece up = piece(source.x, first + num_columns, count);
      const float clamp = *static_cast<const float*>(source.second);
      return {{weighted_swiglu<kFastMath>(gate, up, clamp, row.factor)}};
    } else if constexpr (kSource == CastSource::kSwigluGradient) {
      const Piece gate = piece(source.x, first, count);
      const Piece up = piece(source.x, first + num_columns / 2, count);
      // Rows of dy are half as long.
      const Piece dy = piece(source.second, first - row.offset / 2, count);
      const GateAndUp<kFloat32> gradient = swiglu_gradient(gate, up, dy);
      return {{gradient.gate, gradient.up}};
    } else {
      return {{scaled(piece(source.x, first, count), row.factor, weight)}};
    }
  }

 private:
  __device__ static __forceinline__ Piece scaled(const Piece& x, float factor,
                                                 const Eight<true>& weight) {
    float y[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) y[i] = __fmul_rn(__fmul_rn(x.value(i), factor), weight.value(i));
    return eight_of<kFloat32>(y);
  }
};

}  // namespace jdg
