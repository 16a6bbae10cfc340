// Rows from one pitch to another: with zeros behind them, or without what lies behind them.
//
// The target is written in aligned pieces of 16 bytes. Those of a piece begin anywhere in the
// source, and are picked from the two aligned vectors that hold them. A thread loads all of its
// pieces before it stores the first.
#pragma once

#include "ptx/permute.cuh"
#include "ptx/sync.cuh"
#include "ptx/types.cuh"

namespace jdg {

// Mirrors `Sm90CopyRowsConfig` in heuristics/sm90_copy_rows.py.
struct Sm90CopyRowsConfig {
  int num_threads;
  int pieces_per_thread;  // Loaded together.
  bool cut;               // To rows with nothing behind them, that begin anywhere.
};

// Both arrays begin at multiples of 16 bytes. Rows of one of them do, too: those of the source if
// they are cut, else those of the target.
struct CopiedRows {
  const u8* source;
  u8* target;
  u32 num_rows;
  u32 row_bytes;  // What is copied of a row; at least 16 if rows are cut.
  u32 source_pitch;
  u32 target_pitch;  // The same as row_bytes if rows are cut, else no less.
};

struct Sm90CopyRowsParams {
  CopiedRows first;
  CopiedRows second;
  u32 first_blocks;  // CTAs that copy the first; the others copy the second.
};

template <Sm90CopyRowsConfig kConfig>
struct Sm90CopyRows {
  static constexpr int kNumThreads = kConfig.num_threads;

  __device__ static __forceinline__ void run(const Sm90CopyRowsParams& params) {
    ptx::launch_next_kernel();
    ptx::wait_for_previous_kernel();
    const bool is_first = blockIdx.x < params.first_blocks;
    const CopiedRows rows = is_first ? params.first : params.second;
    copy(rows, is_first ? blockIdx.x : blockIdx.x - params.first_blocks);
  }

 private:
  static constexpr u32 kPieceBytes = 16;
  static constexpr u32 kNumPieces = kConfig.pieces_per_thread;
  static constexpr u32 kStrideBytes = kConfig.num_threads * kPieceBytes;
  static constexpr uint4 kZeros = {0, 0, 0, 0};

  // Where a piece begins in the target, which may be past its end.
  struct Place {
    u64 row;
    u32 column;  // In bytes, below the target's pitch.

    // The next piece of the thread.
    __device__ __forceinline__ void advance(u32 rows, u32 columns, u32 pitch) {
      row += rows;
      column += columns;
      if (column < pitch) return;
      column -= pitch;
      ++row;
    }
  };

  // The 32 bytes around 16 that begin anywhere; zeros where not all of a vector is in the source.
  struct Window {
    uint4 low;
    uint4 high;
  };

  __device__ static __forceinline__ void copy(const CopiedRows& rows, u32 block) {
    const u32 pitch = rows.target_pitch;
    const u64 begin = static_cast<u64>(block) * kNumPieces * kStrideBytes + threadIdx.x * 16;
    const Place first = {begin / pitch, static_cast<u32>(begin % pitch)};
    const u32 step_rows = kStrideBytes / pitch;
    const u32 step_columns = kStrideBytes % pitch;
    Window windows[kNumPieces];
    Place place = first;
#pragma unroll
    for (u32 i = 0; i < kNumPieces; ++i) {
      windows[i] = load(rows, source_of(rows, place));
      place.advance(step_rows, step_columns, pitch);
    }
    place = first;
#pragma unroll
    for (u32 i = 0; i < kNumPieces; ++i) {
      store(rows, place, windows[i]);
      place.advance(step_rows, step_columns, pitch);
    }
  }

  __device__ static __forceinline__ u64 source_of(const CopiedRows& rows, const Place& place) {
    return place.row * rows.source_pitch + place.column;
  }

  __device__ static __forceinline__ u64 source_bytes(const CopiedRows& rows) {
    return static_cast<u64>(rows.num_rows) * rows.source_pitch;
  }

  __device__ static __forceinline__ Window load(const CopiedRows& rows, u64 at) {
    const u64 first = at / 16 * 16;
    return {load_vector(rows, first, true), load_vector(rows, first + 16, at % 16 != 0)};
  }

  __device__ static __forceinline__ uint4 load_vector(const CopiedRows& rows, u64 at,
                                                      bool is_needed) {
    uint4 vector = kZeros;
    if (is_needed && at + 16 <= source_bytes(rows)) {
      vector = *reinterpret_cast<const uint4*>(rows.source + at);
    }
    return vector;
  }

  __device__ static __forceinline__ void store(const CopiedRows& rows, const Place& place,
                                               const Window& window) {
    if (place.row >= rows.num_rows) return;
    const u64 at = source_of(rows, place);
    uint4 piece = kConfig.cut ? pick(window, at) : pick(with_last_bytes(rows, window, at), at);
    const u32 left = max(rows.row_bytes, place.column) - place.column;
    if (left < kPieceBytes) piece = joined(piece, behind(rows, place, left), left);
    const u64 to = place.row * rows.target_pitch + place.column;
    const u64 target_bytes = static_cast<u64>(rows.num_rows) * rows.target_pitch;
    if (kConfig.cut && to + kPieceBytes > target_bytes) {
      store_bytes(rows.target + to, static_cast<u32>(target_bytes - to), piece);
    } else {
      *reinterpret_cast<uint4*>(rows.target + to) = piece;
    }
  }

  // What follows in a piece that has `left` bytes of its row: the next row or zeros. Such pieces
  // are few unless rows are short, so these loads wait for no others.
  __device__ static __forceinline__ uint4 behind(const CopiedRows& rows, const Place& place,
                                                 u32 left) {
    if constexpr (!kConfig.cut) return kZeros;
    const u64 at = (place.row + 1) * rows.source_pitch - left;
    return pick(load(rows, at), at);
  }

  // The source may end within a vector: its last bytes are loaded one by one.
  __device__ static __forceinline__ Window with_last_bytes(const CopiedRows& rows, Window window,
                                                           u64 at) {
    const u64 first = at / 16 * 16;
    const u64 end = source_bytes(rows);
    if (first + 32 <= end || first >= end) return window;
    if (first + 16 > end) window.low = last_bytes(rows.source + first, end - first);
    if (first + 16 < end) window.high = last_bytes(rows.source + first + 16, end - first - 16);
    return window;
  }

  __device__ static __forceinline__ uint4 last_bytes(const u8* source, u64 count) {
    u64 halves[2] = {};
#pragma unroll 1
    for (u32 i = 0; i < count; ++i) {
      const u64 byte = source[i];
      halves[0] |= i < 8 ? byte << i * 8 : 0;
      halves[1] |= i < 8 ? 0 : byte << (i - 8) * 8;
    }
    return {static_cast<u32>(halves[0]), static_cast<u32>(halves[0] >> 32),
            static_cast<u32>(halves[1]), static_cast<u32>(halves[1] >> 32)};
  }

  __device__ static __forceinline__ void store_bytes(u8* target, u32 count, uint4 piece) {
    const u64 low = static_cast<u64>(piece.y) << 32 | piece.x;
    const u64 high = static_cast<u64>(piece.w) << 32 | piece.z;
#pragma unroll 1
    for (u32 i = 0; i < count; ++i) {
      target[i] = static_cast<u8>(i < 8 ? low >> i * 8 : high >> (i - 8) * 8);
    }
  }

  // The 16 bytes at `at`.
  __device__ static __forceinline__ uint4 pick(const Window& window, u64 at) {
    u32 words[8] = {window.low.x,  window.low.y,  window.low.z,  window.low.w,
                    window.high.x, window.high.y, window.high.z, window.high.w};
    const u32 offset = at % 16;
#pragma unroll
    for (int i = 0; i < 6; ++i) words[i] = offset & 8 ? words[i + 2] : words[i];
#pragma unroll
    for (int i = 0; i < 5; ++i) words[i] = offset & 4 ? words[i + 1] : words[i];
    const u32 selector = 0x3210 + 0x1111 * (offset % 4);
    return {ptx::permute_bytes(words[0], words[1], selector),
            ptx::permute_bytes(words[1], words[2], selector),
            ptx::permute_bytes(words[2], words[3], selector),
            ptx::permute_bytes(words[3], words[4], selector)};
  }

  // `count` bytes of x, and then those of y.
  __device__ static __forceinline__ uint4 joined(uint4 x, uint4 y, u32 count) {
    return {joined(x.x, y.x, count, 0), joined(x.y, y.y, count, 4), joined(x.z, y.z, count, 8),
            joined(x.w, y.w, count, 12)};
  }

  __device__ static __forceinline__ u32 joined(u32 x, u32 y, u32 count, u32 before) {
    const u32 of_word = min(max(count, before) - before, 4u);
    const u32 mask = static_cast<u32>((1ull << of_word * 8) - 1);
    return (x & mask) | (y & ~mask);
  }
};

}  // namespace jdg

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_copy_rows.py.
#define JDG_SM90_COPY_ROWS_ENTRY(Kernel)                                                   \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads) sm90_copy_rows(        \
      const jdg::u8* source, jdg::u8* target, jdg::u32 num_rows, jdg::u32 row_bytes,       \
      jdg::u32 source_pitch, jdg::u32 target_pitch, const jdg::u8* second_source,          \
      jdg::u8* second_target, jdg::u32 second_num_rows, jdg::u32 second_row_bytes,         \
      jdg::u32 second_source_pitch, jdg::u32 second_target_pitch, jdg::u32 first_blocks) { \
    Kernel::run({{source, target, num_rows, row_bytes, source_pitch, target_pitch},        \
                 {second_source, second_target, second_num_rows, second_row_bytes,         \
                  second_source_pitch, second_target_pitch},                               \
                 first_blocks});                                                           \
  }
