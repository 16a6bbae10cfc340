// Rows of bytes that lie one after the other, copied to rows with zeros behind them.
//
// The target is written in aligned pieces of 16 bytes. Those of a piece begin anywhere in the
// source, and are picked from the two aligned vectors that hold them. A thread loads all of its
// pieces before it stores the first.
#pragma once

#include "ptx/permute.cuh"
#include "ptx/sync.cuh"
#include "ptx/types.cuh"

namespace jdg {

// Mirrors `Sm90PadRowsConfig` in heuristics/sm90_pad_rows.py.
struct Sm90PadRowsConfig {
  int num_threads;
  int pieces_per_thread;  // Loaded together.
};

// Both arrays begin at multiples of 16 bytes.
struct PaddedRows {
  const u8* source;
  u8* target;
  u32 num_rows;
  u32 row_bytes;
  u32 row_pieces;  // From one row of the target to the next; in all rows fewer than 2^31.
};

struct Sm90PadRowsParams {
  PaddedRows first;
  PaddedRows second;
  u32 first_blocks;  // CTAs that pad the first; the others pad the second.
};

template <Sm90PadRowsConfig kConfig>
struct Sm90PadRows {
  static constexpr int kNumThreads = kConfig.num_threads;

  __device__ static __forceinline__ void run(const Sm90PadRowsParams& params) {
    ptx::launch_next_kernel();
    ptx::wait_for_previous_kernel();
    const bool is_first = blockIdx.x < params.first_blocks;
    const PaddedRows rows = is_first ? params.first : params.second;
    pad(rows, is_first ? blockIdx.x : blockIdx.x - params.first_blocks);
  }

 private:
  static constexpr u32 kPieceBytes = 16;
  static constexpr u32 kNumPieces = kConfig.pieces_per_thread;
  static constexpr uint4 kZeros = {0, 0, 0, 0};

  // A piece of the target; its row may be past the last.
  struct Place {
    u32 row;
    u32 piece;  // Of the row.

    // The next piece of the thread.
    __device__ __forceinline__ void advance(const Place& step, u32 row_pieces) {
      row += step.row;
      piece += step.piece;
      if (piece < row_pieces) return;
      piece -= row_pieces;
      ++row;
    }
  };

  // The 32 bytes around 16 that begin anywhere; zeros where not all of a vector is in the source.
  struct Window {
    uint4 low;
    uint4 high;
  };

  __device__ static __forceinline__ void pad(const PaddedRows& rows, u32 block) {
    const u32 begin = block * kNumPieces * kNumThreads + threadIdx.x;
    const Place first = {begin / rows.row_pieces, begin % rows.row_pieces};
    const Place step = {kNumThreads / rows.row_pieces, kNumThreads % rows.row_pieces};
    Window windows[kNumPieces];
    Place place = first;
#pragma unroll
    for (u32 i = 0; i < kNumPieces; ++i) {
      windows[i] = load(rows, source_of(rows, place));
      place.advance(step, rows.row_pieces);
    }
    place = first;
#pragma unroll
    for (u32 i = 0; i < kNumPieces; ++i) {
      store(rows, place, windows[i]);
      place.advance(step, rows.row_pieces);
    }
  }

  __device__ static __forceinline__ u64 source_of(const PaddedRows& rows, const Place& place) {
    return static_cast<u64>(place.row) * rows.row_bytes + place.piece * kPieceBytes;
  }

  __device__ static __forceinline__ u64 source_bytes(const PaddedRows& rows) {
    return static_cast<u64>(rows.num_rows) * rows.row_bytes;
  }

  __device__ static __forceinline__ Window load(const PaddedRows& rows, u64 at) {
    const u64 first = at / 16 * 16;
    return {load_vector(rows, first, true), load_vector(rows, first + 16, at % 16 != 0)};
  }

  __device__ static __forceinline__ uint4 load_vector(const PaddedRows& rows, u64 at,
                                                      bool is_needed) {
    uint4 vector = kZeros;
    if (is_needed && at + 16 <= source_bytes(rows)) {
      vector = *reinterpret_cast<const uint4*>(rows.source + at);
    }
    return vector;
  }

  __device__ static __forceinline__ void store(const PaddedRows& rows, const Place& place,
                                               const Window& window) {
    if (place.row >= rows.num_rows) return;
    const u64 at = source_of(rows, place);
    const u32 column = place.piece * kPieceBytes;
    const u32 left = max(rows.row_bytes, column) - column;
    const uint4 piece = first_bytes(pick(with_last_bytes(rows, window, at), at), left);
    const u64 index = static_cast<u64>(place.row) * rows.row_pieces + place.piece;
    reinterpret_cast<uint4*>(rows.target)[index] = piece;
  }

  // The source may end within a vector: its last bytes are loaded one by one.
  __device__ static __forceinline__ Window with_last_bytes(const PaddedRows& rows, Window window,
                                                           u64 at) {
    const u64 first = at / 16 * 16;
    const u64 end = source_bytes(rows);
    if (first + 32 <= end || first >= end) return window;
    if (first + 16 > end) window.low = last_bytes(rows.source + first, end - first);
    if (first + 16 < end) window.high = last_bytes(rows.source + first + 16, end - first - 16);
    return window;
  }

  __device__ static __forceinline__ uint4 last_bytes(const u8* source, u64 count) {
    u64 low = 0;
    u64 high = 0;
#pragma unroll 1
    for (u32 i = 0; i < count; ++i) {
      const u64 byte = source[i];
      low |= i < 8 ? byte << i * 8 : 0;
      high |= i < 8 ? 0 : byte << (i - 8) * 8;
    }
    return {static_cast<u32>(low), static_cast<u32>(low >> 32), static_cast<u32>(high),
            static_cast<u32>(high >> 32)};
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

  // `count` bytes of x, and zeros.
  __device__ static __forceinline__ uint4 first_bytes(uint4 x, u32 count) {
    return {first_bytes(x.x, count, 0), first_bytes(x.y, count, 4), first_bytes(x.z, count, 8),
            first_bytes(x.w, count, 12)};
  }

  // The same of the word behind `before` bytes.
  __device__ static __forceinline__ u32 first_bytes(u32 x, u32 count, u32 before) {
    const u32 of_word = min(max(count, before) - before, 4u);
    return x & static_cast<u32>((1ull << of_word * 8) - 1);
  }
};

}  // namespace jdg

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_pad_rows.py.
#define JDG_SM90_PAD_ROWS_ENTRY(Kernel)                                                            \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads)                                \
      sm90_pad_rows(const jdg::u8* source, jdg::u8* target, jdg::u32 num_rows, jdg::u32 row_bytes, \
                    jdg::u32 row_pieces, const jdg::u8* second_source, jdg::u8* second_target,     \
                    jdg::u32 second_num_rows, jdg::u32 second_row_bytes,                           \
                    jdg::u32 second_row_pieces, jdg::u32 first_blocks) {                           \
    Kernel::run(                                                                                   \
        {{source, target, num_rows, row_bytes, row_pieces},                                        \
         {second_source, second_target, second_num_rows, second_row_bytes, second_row_pieces},     \
         first_blocks});                                                                           \
  }
