// Stands in for cuda/ptx/warp.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ bool elect_one() { return emu::elect(); }

__forceinline__ u32 vote_ballot(bool mine) { return emu::ballot(mine); }

__forceinline__ bool vote_any(bool mine) { return emu::ballot(mine) != 0; }

__forceinline__ bool vote_all(bool mine) { return emu::ballot(mine) == 0xFFFFFFFF; }

__forceinline__ u32 match_any(u32 value) { return emu::match_any(value); }

__forceinline__ u32 shuffle(u32 value, u32 lane) { return emu::shuffle(value, lane % 32); }

__forceinline__ u32 shuffle_xor(u32 value, u32 mask) {
  return emu::shuffle(value, (emu::lane_index() ^ mask) % 32);
}

__forceinline__ u32 shuffle_down(u32 value, u32 delta) {
  const u32 lane = emu::lane_index();
  return emu::shuffle(value, lane + delta < 32 ? lane + delta : lane);
}

}  // namespace jdg::ptx
