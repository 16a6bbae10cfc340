// Casts to e4m3 whose scales span rows: per block, per column, transposing, grouped along K.
//
// A CTA has a tile of 128 x 128, read once and kept in registers: 8 rows of 8 columns a thread, all
// loaded before the first is used. With 4 CTAs an SM, 128 KB are in flight. A source that makes two
// halves of the columns at once gives it a tile of each.
#pragma once

#include "common/block_scale.cuh"
#include "common/cast_values.cuh"
#include "kernels/sm90_cast_tile_types.cuh"
#include "ptx/sync.cuh"

namespace jdg {

template <Sm90CastTileConfig kConfig>
struct Sm90CastTile {
  using Params = Sm90CastTileParams;
  using Input =
      CastInput<kConfig.source, kConfig.float32_in, kConfig.aligned_columns, kConfig.fast_math>;
  static constexpr bool kTwoTiles = Input::kNumOutputs == 2;
  using Smem = Conditional<kTwoTiles, Sm90CastTwoTilesSmem<kConfig.float32_in>, Sm90CastTileSmem>;
  static constexpr int kNumThreads = kCastWarps * 32;
  static constexpr int kMinCtas = kConfig.ctas_per_sm;

  static_assert(kConfig.per_block + kConfig.per_row + kConfig.per_column <= 1,
                "`values` have one kind of scales");
  static_assert(!kConfig.grouped ||
                    (kConfig.transposed && !kConfig.per_block && !kConfig.per_column),
                "groups are written transposed, and per row");

  __device__ static __forceinline__ void run(const Params& params) {
    extern __shared__ __align__(16) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    ptx::launch_next_kernel();
    const Place at = place(params);
    ptx::wait_for_previous_kernel();
    RowRange rows = {at.block * kCastTile, kCastTile};
    if constexpr (kConfig.grouped) {
      rows = rows_of_block(params.group_sizes, params.num_groups, params.num_rows, at.block);
    } else {
      rows.count = min(params.num_rows - rows.first, kCastTile);
    }
    Piece x[8];
    load(params, smem, at, rows, x);
    cast(params, smem, at, rows, x);
    if constexpr (kTwoTiles) {
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] = smem.second.read(i);
      cast(params, smem, {at.block, at.tile + params.column_tiles / 2, at.row, at.column}, rows, x);
    }
  }

 private:
  using Piece = typename Input::Piece;
  static constexpr int kRowsAtOnce = 2;  // Of two tiles.
  static_assert(!kTwoTiles || !kConfig.per_block,
                "the next tile's magnitudes replace those of a block while they are read");

  // A tile, and what a thread has of it.
  struct Place {
    u32 block;   // Of rows.
    u32 tile;    // Of columns.
    u32 row;     // In the tile, the first of eight,
    u32 column;  // and so of columns.
  };

  __device__ static __forceinline__ Place place(const Params& params) {
    const u32 warp = threadIdx.x / 32;
    const u32 lane = threadIdx.x % 32;
    // 16 lanes load 128 neighbours.
    const u32 tiles = params.column_tiles / Input::kNumOutputs;
    return {blockIdx.x / tiles, blockIdx.x % tiles, warp * 16 + lane / 16 * 8, lane % 16 * 8};
  }

  __device__ static __forceinline__ u64 offset_of(const Params& params, const Place& at, u32 row) {
    const u64 batch_row = static_cast<u64>(blockIdx.z) * params.num_rows + row;
    return batch_row * params.num_columns + at.tile * kCastTile + at.column;
  }

  // Of the piece's columns those inside.
  __device__ static __forceinline__ u32 count(const Params& params, const Place& at,
                                              const RowRange& rows, int i) {
    return at.row + i < rows.count
               ? count_of_eight(at.tile * kCastTile + at.column, params.num_columns)
               : 0;
  }

  __device__ static __forceinline__ void load(const Params& params, Smem& smem, const Place& at,
                                              const RowRange& rows, Piece (&x)[8]) {
    if constexpr (kConfig.source == CastSource::kPlain) {
      load_plain(params, at, rows, x);
    } else {
      load_made(params, smem, at, rows, x);
    }
  }

  __device__ static __forceinline__ void load_plain(const Params& params, const Place& at,
                                                    const RowRange& rows, Piece (&x)[8]) {
    const u64 offset = offset_of(params, at, rows.first + at.row);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      x[i] = Input::piece(params.source.x, offset + static_cast<u64>(i) * params.num_columns,
                          count(params, at, rows, i));
    }
  }

  __device__ static __forceinline__ void load_made(const Params& params, Smem& smem,
                                                   const Place& at, const RowRange& rows,
                                                   Piece (&x)[8]) {
    const u32 column = at.tile * kCastTile + at.column;
    const Eight<true> weight =
        Input::weight(params.source, column, count_of_eight(column, params.num_columns));
    if constexpr (kTwoTiles) {
      // Registers hold one tile, and not the operands of all of its rows: shared memory has both.
#pragma unroll 1
      for (int first = 0; first < 8; first += kRowsAtOnce) {
#pragma unroll
        for (int i = 0; i < kRowsAtOnce; ++i) {
          const typename Input::Outputs made = make(params, weight, at, rows, first + i);
          smem.first.write(first + i, made.pieces[0]);
          smem.second.write(first + i, made.pieces[1]);
        }
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] = smem.first.read(i);
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] = make(params, weight, at, rows, i).pieces[0];
    }
  }

  __device__ static __forceinline__ typename Input::Outputs make(const Params& params,
                                                                 const Eight<true>& weight,
                                                                 const Place& at,
                                                                 const RowRange& rows, int i) {
    const u64 first = static_cast<u64>(blockIdx.z) * params.num_rows + rows.first + at.row;
    const typename Input::Row row =
        Input::row(params.source, first, i, params.num_columns, at.row + i < rows.count);
    const u64 element = row.offset + at.tile * kCastTile + at.column;
    return Input::load(params.source, weight, row, element, params.num_columns,
                       count(params, at, rows, i));
  }

  // Casts a tile. What it leaves in shared memory the next one may overwrite without waiting.
  __device__ static __forceinline__ void cast(const Params& params, Smem& smem, const Place& at,
                                              const RowRange& rows, const Piece (&x)[8]) {
    share_amax(smem, at, x);
    __syncthreads();
    share_scales(params, smem, at, rows);
    if constexpr (kConfig.per_block) {
      const BlockScale scale = store_block_scale(params, smem, at);
      encode_block(params, at, rows, x, scale.inverse);
      if constexpr (kConfig.transposed) encode_transposed(smem, at, x, scale.inverse);
    } else {
      __syncthreads();
      if constexpr (kConfig.in_place()) encode_in_place(params, smem, at, rows, x);
      if constexpr (kConfig.transposed) encode_transposed(smem, at, x);
    }
    if constexpr (kConfig.transposed) {
      __syncthreads();
      store_transposed(params, smem, at);
    }
  }

  // Largest magnitudes of what a warp has: of each row, of each column, or of all.
  __device__ static __forceinline__ void share_amax(Smem& smem, const Place& at,
                                                    const Piece (&x)[8]) {
    const u32 warp = threadIdx.x / 32;
    const u32 lane = threadIdx.x % 32;
    if constexpr (kConfig.per_block) {
      u32 largest = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) largest = max(largest, x[i].largest_magnitude());
      largest = max_of_lanes<32>(largest);
      if (lane == 0) smem.block_amax[warp] = largest;
    }
    if constexpr (kConfig.per_row) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const u32 largest = max_of_lanes<16>(x[i].largest_magnitude());
        if (lane % 16 == i) smem.row_amax[at.row + i] = largest;
      }
    }
    if constexpr (kConfig.column_scales()) {
#pragma unroll
      for (int c = 0; c < 8; ++c) {
        u32 largest = x[0].magnitude(c);
#pragma unroll
        for (int i = 1; i < 8; ++i) largest = max(largest, x[i].magnitude(c));
        largest = max_of_lanes<2, 16>(largest);
        // Half of the lanes write half of the columns: both have all.
        if (lane / 16 == c / 4) smem.column_amax[warp][at.column + c] = largest;
      }
    }
  }

  // A thread makes the scale of one column, or one of the other threads that of one row.
  __device__ static __forceinline__ void share_scales(const Params& params, Smem& smem,
                                                      const Place& at, const RowRange& rows) {
    const u32 i = threadIdx.x % kCastTile;
    if (threadIdx.x < kCastTile) {
      if constexpr (kConfig.column_scales()) share_column_scale(params, smem, at, rows, i);
    } else {
      if constexpr (kConfig.per_row) share_row_scale(params, smem, at, rows, i);
    }
  }

  __device__ static __forceinline__ void share_column_scale(const Params& params, Smem& smem,
                                                            const Place& at, const RowRange& rows,
                                                            u32 i) {
    u32 amax = smem.column_amax[0][i];
#pragma unroll
    for (u32 warp = 1; warp < kCastWarps; ++warp) amax = max(amax, smem.column_amax[warp][i]);
    const BlockScale scale = scale_of_block<kConfig.use_ue8m0>(amax);
    smem.column_inverse[i] = scale.inverse;
    const u32 column = at.tile * kCastTile + i;
    if (column >= params.column_pitch) return;
    const u64 row = static_cast<u64>(blockIdx.z) * params.row_blocks + at.block;
    // Where there is nothing to scale, zeros.
    const bool is_live = column < params.num_columns && rows.count != 0;
    params.column_scales[row * params.column_pitch + column] = is_live ? scale.scale : 0.0f;
  }

  __device__ static __forceinline__ void share_row_scale(const Params& params, Smem& smem,
                                                         const Place& at, const RowRange& rows,
                                                         u32 i) {
    const BlockScale scale = scale_of_block<kConfig.use_ue8m0>(smem.row_amax[i]);
    smem.row_inverse[i] = scale.inverse;
    const u32 row = rows.first + i;
    // Rows of no group have none, and those past the last row zeros.
    if (kConfig.grouped ? i >= rows.count : row >= params.row_pitch) return;
    const u64 tile = static_cast<u64>(blockIdx.z) * params.column_tiles + at.tile;
    params.scales[tile * params.row_pitch + row] = row < params.num_rows ? scale.scale : 0.0f;
  }

  __device__ static __forceinline__ void load_column_inverses(const Smem& smem, const Place& at,
                                                              float (&inverse)[8]) {
#pragma unroll
    for (int c = 0; c < 8; ++c) inverse[c] = smem.column_inverse[at.column + c];
  }

  __device__ static __forceinline__ void store_in_place(const Params& params, const Place& at,
                                                        const RowRange& rows, int i, uint2 codes) {
    store_eight<kConfig.aligned_columns>(params.values,
                                         offset_of(params, at, rows.first + at.row + i),
                                         count(params, at, rows, i), codes);
  }

  // Returns the block's scale, which one thread stores.
  __device__ static __forceinline__ BlockScale store_block_scale(const Params& params,
                                                                 const Smem& smem,
                                                                 const Place& at) {
    u32 amax = smem.block_amax[0];
#pragma unroll
    for (u32 warp = 1; warp < kCastWarps; ++warp) amax = max(amax, smem.block_amax[warp]);
    const BlockScale scale = scale_of_block<kConfig.use_ue8m0>(amax);
    if (threadIdx.x == 0) {
      const u64 row = static_cast<u64>(blockIdx.z) * params.row_blocks + at.block;
      params.scales[row * params.column_tiles + at.tile] = scale.scale;
    }
    return scale;
  }

  __device__ static __forceinline__ void encode_block(const Params& params, const Place& at,
                                                      const RowRange& rows, const Piece (&x)[8],
                                                      float inverse) {
#pragma unroll
    for (int i = 0; i < 8; ++i) store_in_place(params, at, rows, i, encode(x[i], inverse));
  }

  __device__ static __forceinline__ void encode_in_place(const Params& params, const Smem& smem,
                                                         const Place& at, const RowRange& rows,
                                                         const Piece (&x)[8]) {
    if constexpr (kConfig.per_row) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        store_in_place(params, at, rows, i, encode(x[i], smem.row_inverse[at.row + i]));
      }
    } else {
      float inverse[8];
      load_column_inverses(smem, at, inverse);
#pragma unroll
      for (int i = 0; i < 8; ++i) store_in_place(params, at, rows, i, encode(x[i], inverse));
    }
  }

  __device__ static __forceinline__ void encode_transposed(Smem& smem, const Place& at,
                                                           const Piece (&x)[8]) {
    float inverse[8];
    load_column_inverses(smem, at, inverse);
    encode_transposed(smem, at, x, inverse);
  }

  __device__ static __forceinline__ void encode_transposed(Smem& smem, const Place& at,
                                                           const Piece (&x)[8], float inverse) {
    const float all[8] = {inverse, inverse, inverse, inverse, inverse, inverse, inverse, inverse};
    encode_transposed(smem, at, x, all);
  }

  // The conversion packs any two values, so that it transposes for nothing.
  __device__ static __forceinline__ void encode_transposed(Smem& smem, const Place& at,
                                                           const Piece (&x)[8],
                                                           const float (&inverse)[8]) {
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      float y[8];
#pragma unroll
      for (int i = 0; i < 8; ++i) y[i] = __fmul_rn(x[i].value(c), inverse[c]);
      smem.tile.write(
          at.column + c, at.row / 8,
          {pack_four_e4m3(y[0], y[1], y[2], y[3]), pack_four_e4m3(y[4], y[5], y[6], y[7])});
    }
  }

  // 8 lanes write the 128 bytes of a column.
  __device__ static __forceinline__ void store_transposed(const Params& params, const Smem& smem,
                                                          const Place& at) {
    const u32 pair = threadIdx.x % 8;
    const u32 first = at.block * kCastTile + pair * 16;
    const u32 end = params.transposed_pitch;
    const u32 count = first < end ? min(end - first, 16u) : 0;
#pragma unroll
    for (u32 i = 0; i < kCastTile / (kNumThreads / 8); ++i) {
      const u32 local = i * (kNumThreads / 8) + threadIdx.x / 8;
      const u32 column = at.tile * kCastTile + local;
      if (column >= params.num_columns) continue;
      const u64 row = static_cast<u64>(blockIdx.z) * params.num_columns + column;
      store_sixteen<kConfig.aligned_rows>(params.transposed, row * end + first, count,
                                          smem.tile.read(local, pair));
    }
  }
};

}  // namespace jdg

// The order of the parameters is that of primitives/sm90_cast_tile.py.
#define JDG_SM90_CAST_TILE_ENTRY(Kernel)                                                      \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, Kernel::kMinCtas)         \
      sm90_cast_tile(const void* x, const int* group_sizes, jdg::u8* values, float* scales,   \
                     jdg::u8* transposed, float* column_scales, jdg::u32 num_rows,            \
                     jdg::u32 num_columns, jdg::u32 num_groups, jdg::u32 row_blocks,          \
                     jdg::u32 column_tiles, jdg::u32 row_pitch, jdg::u32 column_pitch,        \
                     jdg::u32 transposed_pitch, const void* second, const float* row_factors, \
                     jdg::u32 num_source_rows) {                                              \
    Kernel::run({{x, second, row_factors, num_source_rows},                                   \
                 group_sizes,                                                                 \
                 values,                                                                      \
                 scales,                                                                      \
                 transposed,                                                                  \
                 column_scales,                                                               \
                 num_rows,                                                                    \
                 num_columns,                                                                 \
                 num_groups,                                                                  \
                 row_blocks,                                                                  \
                 column_tiles,                                                                \
                 row_pitch,                                                                   \
                 column_pitch,                                                                \
                 transposed_pitch});                                                          \
  }
