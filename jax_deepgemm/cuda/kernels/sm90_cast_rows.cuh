// Cast to e4m3 or e2m1 with one scale per row and 32 or 128 columns, or to bfloat16 without.
//
// Eight lanes have 128 columns of a row, 16 each in two pieces, so that every access of a warp is
// to whole lines. A thread's rows are all loaded before the first is used: 32 or 64 bytes each in
// flight.
#pragma once

#include "common/block_scale.cuh"
#include "common/cast_source.cuh"
#include "common/cast_values.cuh"
#include "common/fp4_values.cuh"
#include "common/group_rows.cuh"
#include "ptx/sync.cuh"

namespace jdg {

// Mirrors `Sm90CastRowsConfig` in heuristics/sm90_cast.py.
struct Sm90CastRowsConfig {
  bool float32_in;  // x is float32, else bfloat16.
  int gran_k;       // Columns that share a scale: 32 or 128.
  bool use_ue8m0;
  bool mn_major;        // Scales are [blocks, align(rows, 4)], else [rows, blocks].
  bool aligned;         // Rows begin at multiples of 16 bytes and hold whole pieces.
  int rows_per_thread;  // Loaded together.
  int num_warps;        // Side by side along a row.
  bool fp4;             // Values are e2m1, two in a byte, else e4m3.
  bool packed;          // Scales are exponents, four blocks of 32 in an u32.
  CastSource source;    // What is cast.
  bool counted;         // The rows of groups alone, tile by tile.
  bool fast_math;       // Exponentials are approximated.
  bool bfloat16_out;    // Values are bfloat16, as they are, and have no scales.
};

struct Sm90CastRowsParams {
  CastSourceParams source;  // Of [batch, num_rows, num_columns].
  u8* values;               // The same, in half the bytes for e2m1, twice as many for bfloat16.
  void* scales;             // float, or u32 if packed; not for bfloat16.
  u32 num_rows;
  u32 num_columns;
  u32 column_tiles;
  const int* group_sizes;  // [num_groups], if counted.
  u32 num_groups;
};

template <Sm90CastRowsConfig kConfig>
struct Sm90CastRows {
  static constexpr int kNumThreads = kConfig.num_warps * 32;
  static constexpr u32 kTileRows = kConfig.rows_per_thread * 4;
  static constexpr u32 kGran = kConfig.gran_k;
  static_assert(kGran == 32 || kGran == 128, "a scale covers four lanes of a piece, or all");
  static_assert(!kConfig.packed || (kGran == 32 && kConfig.use_ue8m0 && !kConfig.mn_major),
                "a row's lanes have the four scales of an u32");
  static_assert(!kConfig.bfloat16_out || !kConfig.float32_in, "nothing is to be rounded");

  __device__ static __forceinline__ void run(const Sm90CastRowsParams& params) {
    ptx::launch_next_kernel();
    if constexpr (kConfig.counted) {
      ptx::wait_for_previous_kernel();
      const u32 rows = rows_of_groups(params.group_sizes, params.num_groups, params.num_rows);
      const u32 tiles = (rows + kTileRows - 1) / kTileRows * params.column_tiles;
      for (u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) cast(params, tile);
    } else {
      cast(params, blockIdx.x);
    }
  }

 private:
  using Input = CastInput<kConfig.source, kConfig.float32_in, kConfig.aligned, kConfig.fast_math>;
  using Piece = typename Input::Piece;
  static constexpr u32 kNumOutputs = Input::kNumOutputs;

  // Columns c to c + 7 and c + 64 to c + 71.
  struct Pieces {
    typename Input::Outputs low;
    typename Input::Outputs high;
  };

  struct Weights {
    Eight<true> low;
    Eight<true> high;
  };

  // A warp casts 128 columns of a tile's rows, or two times as many.
  __device__ static __forceinline__ void cast(const Sm90CastRowsParams& params, u32 index) {
    const u32 lane = threadIdx.x % 32;
    const u32 warp = threadIdx.x / 32;
    const u32 tile = index / params.column_tiles;
    const u32 strip = index % params.column_tiles * kConfig.num_warps + warp;
    if (strip * 128 >= params.num_columns / kNumOutputs) return;
    const u32 first_row = tile * kTileRows + lane / 8;
    const u32 first_column = strip * 128 + lane % 8 * 8;
    if constexpr (!kConfig.counted) ptx::wait_for_previous_kernel();
    Pieces pieces[kConfig.rows_per_thread];
    load(params, first_row, first_column, pieces);
#pragma unroll
    for (int i = 0; i < kConfig.rows_per_thread; ++i) {
#pragma unroll
      for (u32 output = 0; output < kNumOutputs; ++output) {
        const u32 column = first_column + params.num_columns / kNumOutputs * output;
        const Piece& low = pieces[i].low.pieces[output];
        const Piece& high = pieces[i].high.pieces[output];
        if constexpr (kConfig.bfloat16_out) {
          store_plain(params, first_row + i * 4, column, low);
          store_plain(params, first_row + i * 4, column + 64, high);
        } else {
          store(params, first_row + i * 4, column, low, high);
        }
      }
    }
  }

  // Elements before this row's first; rows of the batch follow each other.
  __device__ static __forceinline__ u64 offset_of(const Sm90CastRowsParams& params, u32 row) {
    return (static_cast<u64>(blockIdx.z) * params.num_rows + row) * params.num_columns;
  }

  __device__ static __forceinline__ u32 count(const Sm90CastRowsParams& params, u32 row,
                                              u32 column) {
    return row < params.num_rows ? count_of_eight(column, params.num_columns) : 0;
  }

  __device__ static __forceinline__ void load(const Sm90CastRowsParams& params, u32 row, u32 column,
                                              Pieces (&pieces)[kConfig.rows_per_thread]) {
    [[maybe_unused]] const Weights weights = load_weights(params, column);
#pragma unroll
    for (int i = 0; i < kConfig.rows_per_thread; ++i) {
      if constexpr (kConfig.source == CastSource::kPlain) {
        pieces[i] = load(params, row + i * 4, column);
      } else {
        pieces[i] = load(params, weights, row + i * 4, column);
      }
    }
  }

  __device__ static __forceinline__ Weights load_weights(const Sm90CastRowsParams& params,
                                                         u32 column) {
    const u32 end = params.num_columns;
    return {Input::weight(params.source, column, count_of_eight(column, end)),
            Input::weight(params.source, column + 64, count_of_eight(column + 64, end))};
  }

  __device__ static __forceinline__ Pieces load(const Sm90CastRowsParams& params,
                                                const Weights& weights, u32 row, u32 column) {
    const u32 low = count(params, row, column);
    const u32 high = count(params, row, column + 64);
    const u64 batch_row = static_cast<u64>(blockIdx.z) * params.num_rows + row;
    const typename Input::Row from =
        Input::row(params.source, batch_row, 0, params.num_columns, row < params.num_rows);
    const u64 first = from.offset + column;
    return {Input::load(params.source, weights.low, from, first, params.num_columns, low),
            Input::load(params.source, weights.high, from, first + 64, params.num_columns, high)};
  }

  // The same for kPlain, whose pieces lie as those of the result.
  __device__ static __forceinline__ Pieces load(const Sm90CastRowsParams& params, u32 row,
                                                u32 column) {
    const u64 offset = offset_of(params, row) + column;
    return {{Input::piece(params.source.x, offset, count(params, row, column))},
            {Input::piece(params.source.x, offset + 64, count(params, row, column + 64))}};
  }

  __device__ static __forceinline__ void store_plain(const Sm90CastRowsParams& params, u32 row,
                                                     u32 column, const Piece& piece) {
    u16* values = reinterpret_cast<u16*>(params.values);
    store_eight<kConfig.aligned>(values, offset_of(params, row) + column,
                                 count(params, row, column), piece);
  }

  __device__ static __forceinline__ void store(const Sm90CastRowsParams& params, u32 row,
                                               u32 column, const Piece& low_piece,
                                               const Piece& high_piece) {
    u32 low = low_piece.largest_magnitude();
    u32 high = high_piece.largest_magnitude();
    if constexpr (kGran == 128) low = high = max(low, high);
    constexpr u32 kLanes = kGran == 128 ? 8 : 4;
    const BlockScale low_scale = scale_of(max_of_lanes<kLanes>(low));
    BlockScale high_scale = low_scale;
    if constexpr (kGran != 128) {
      high_scale = scale_of(max_of_lanes<kLanes>(high));
    }
    const u64 offset = offset_of(params, row) + column;
    store_values(params.values, offset, count(params, row, column), low_piece, low_scale);
    store_values(params.values, offset + 64, count(params, row, column + 64), high_piece,
                 high_scale);
    if constexpr (kConfig.packed) {
      store_packed(params, row, column, low_scale.scale, high_scale.scale);
      return;
    }
    if (threadIdx.x % kLanes != 0) return;
    store_scale(params, row, column, low_scale.scale);
    if constexpr (kGran != 128) store_scale(params, row, column + 64, high_scale.scale);
  }

  __device__ static __forceinline__ BlockScale scale_of(u32 amax) {
    if constexpr (kConfig.fp4 && kConfig.use_ue8m0) {
      return e2m1_scale_of_block(amax);
    } else {
      return scale_of_block<kConfig.use_ue8m0, kConfig.fp4 ? 6 : 448>(amax);
    }
  }

  __device__ static __forceinline__ void store_values(u8* values, u64 first, u32 count,
                                                      const Piece& piece, const BlockScale& scale) {
    if constexpr (kConfig.fp4) {
      // e2m1 has no NaN: codes next to a scale that is one, or infinity, are 0.
      const bool is_finite = __float_as_uint(scale.scale) < 0x7F800000;
      const u32 codes = is_finite ? encode_e2m1(piece, scale.inverse) : 0;
      store_eight_e2m1<kConfig.aligned>(values, first, count, codes);
    } else {
      store_eight<kConfig.aligned>(values, first, count, encode(piece, scale.inverse));
    }
  }

  // Exponents of the row's four blocks: lanes 0 to 3 have the even ones, 4 to 7 the odd ones.
  __device__ static __forceinline__ void store_packed(const Sm90CastRowsParams& params, u32 row,
                                                      u32 column, float low, float high) {
    u32 word = exponent(params, column, low) | exponent(params, column + 64, high) << 16;
    word <<= threadIdx.x / 4 % 2 * 8;
    word |= ptx::shuffle_xor(word, 4);
    if (threadIdx.x % 8 != 0 || row >= params.num_rows) return;
    const u64 batch_row = static_cast<u64>(blockIdx.z) * params.num_rows + row;
    const u32 words = (params.num_columns + 127) / 128;
    static_cast<u32*>(params.scales)[batch_row * words + column / 128] = word;
  }

  // That of 1 where there is no block.
  __device__ static __forceinline__ u32 exponent(const Sm90CastRowsParams& params, u32 column,
                                                 float scale) {
    return column < params.num_columns ? __float_as_uint(scale) >> 23 : 127;
  }

  __device__ static __forceinline__ void store_scale(const Sm90CastRowsParams& params, u32 row,
                                                     u32 column, float scale) {
    if (column >= params.num_columns) return;
    const u32 blocks = (params.num_columns + kGran - 1) / kGran;
    const u32 block = column / kGran;
    float* scales = static_cast<float*>(params.scales);
    if constexpr (kConfig.mn_major) {
      const u32 pitch = (params.num_rows + 3) / 4 * 4;
      if (row >= pitch) return;
      const u64 offset = (static_cast<u64>(blockIdx.z) * blocks + block) * pitch + row;
      scales[offset] = row < params.num_rows ? scale : 0.0f;
    } else {
      if (row >= params.num_rows) return;
      const u64 batch_row = static_cast<u64>(blockIdx.z) * params.num_rows + row;
      scales[batch_row * blocks + block] = scale;
    }
  }
};

}  // namespace jdg

// The order of the parameters is that of primitives/sm90_cast_rows.py.
#define JDG_SM90_CAST_ROWS_ENTRY(Kernel)                                                     \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads) sm90_cast_rows(          \
      const void* x, jdg::u8* values, void* scales, jdg::u32 num_rows, jdg::u32 num_columns, \
      jdg::u32 column_tiles, const void* second, const float* row_factors,                   \
      jdg::u32 num_source_rows, const int* group_sizes, jdg::u32 num_groups) {               \
    Kernel::run({{x, second, row_factors, num_source_rows},                                  \
                 values,                                                                     \
                 scales,                                                                     \
                 num_rows,                                                                   \
                 num_columns,                                                                \
                 column_tiles,                                                               \
                 group_sizes,                                                                \
                 num_groups});                                                               \
  }
