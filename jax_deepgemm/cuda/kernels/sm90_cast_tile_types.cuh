// Configuration, parameters and shared memory of the casts that need tiles of 128 x 128.
#pragma once

#include "common/cast_source.cuh"
#include "common/k_group_block.cuh"
#include "common/transposed_tile.cuh"

namespace jdg {

// Mirrors `Sm90CastTileConfig` in heuristics/sm90_cast.py.
struct Sm90CastTileConfig {
  bool float32_in;  // x is float32, else bfloat16.
  bool use_ue8m0;
  bool per_block;        // `values` have a scale per tile,
  bool per_row;          // per row and 128 columns,
  bool per_column;       // or per column and 128 rows.
  bool transposed;       // `transposed` is written, scaled per block or per column and 128 rows.
  bool grouped;          // Rows are cut into groups; needs `transposed`.
  bool aligned_columns;  // Rows of x begin at multiples of 16 bytes and hold whole pieces of 8.
  bool aligned_rows;     // Rows of `transposed` are multiples of 16 bytes.
  int ctas_per_sm;       // At least; what registers are left for.
  CastSource source;     // What is cast.
  bool fast_math;        // Exponentials are approximated.

  constexpr bool in_place() const { return per_block || per_row || per_column; }
  constexpr bool column_scales() const { return per_column || (transposed && !per_block); }
};

struct Sm90CastTileParams {
  CastSourceParams source;  // Of [batch, num_rows, num_columns].
  const int* group_sizes;   // [num_groups]; if grouped.
  u8* values;               // As what is cast; if in_place().
  float* scales;         // Of `values`, but for those per column: [batch, row_blocks, column_tiles]
                         // or per row [batch, column_tiles, row_pitch].
  u8* transposed;        // [batch, num_columns, transposed_pitch].
  float* column_scales;  // [batch, row_blocks, column_pitch].
  u32 num_rows;
  u32 num_columns;
  u32 num_groups;
  u32 row_blocks;
  u32 column_tiles;
  u32 row_pitch;     // At least num_rows, at most the rows of all tiles, as
  u32 column_pitch;  // this of the columns.
  u32 transposed_pitch;
};

constexpr u32 kCastWarps = 8;

struct Sm90CastTileSmem {
  TransposedTile tile;
  u32 column_amax[kCastWarps][kCastTile];
  u32 row_amax[kCastTile];
  u32 block_amax[kCastWarps];
  float column_inverse[kCastTile];
  float row_inverse[kCastTile];
};

// A tile before it is cast; each thread reads what it wrote.
template <bool kFloat32>
struct ParkedTile {
  static constexpr int kChunks = Eight<kFloat32>::kWords / 4;

  uint4 chunks[8][kChunks][kCastWarps * 32];

  __device__ __forceinline__ void write(int row, const Eight<kFloat32>& piece) {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const u32* words = piece.words + i * 4;
      chunks[row][i][threadIdx.x] = {words[0], words[1], words[2], words[3]};
    }
  }

  __device__ __forceinline__ Eight<kFloat32> read(int row) const {
    Eight<kFloat32> piece;
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const uint4 chunk = chunks[row][i][threadIdx.x];
      piece.words[i * 4] = chunk.x;
      piece.words[i * 4 + 1] = chunk.y;
      piece.words[i * 4 + 2] = chunk.z;
      piece.words[i * 4 + 3] = chunk.w;
    }
    return piece;
  }
};

// For sources that make two tiles at once.
template <bool kFloat32>
struct Sm90CastTwoTilesSmem : Sm90CastTileSmem {
  ParkedTile<kFloat32> first;
  ParkedTile<kFloat32> second;
};

}  // namespace jdg
