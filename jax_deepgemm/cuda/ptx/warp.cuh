// What the lanes of a whole warp tell each other.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// True in one lane, always the same.
__device__ __forceinline__ bool elect_one() {
  u32 elected;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "elect.sync _|p, 0xffffffff;\n"
      "selp.b32 %0, 1, 0, p;\n"
      "}"
      : "=r"(elected)
      :
      : "memory");
  return elected != 0;
}

// Bit i is what lane i says.
__device__ __forceinline__ u32 vote_ballot(bool mine) {
  u32 votes;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "setp.ne.b32 p, %1, 0;\n"
      "vote.sync.ballot.b32 %0, p, 0xffffffff;\n"
      "}"
      : "=r"(votes)
      : "r"(static_cast<u32>(mine))
      : "memory");
  return votes;
}

__device__ __forceinline__ bool vote_any(bool mine) {
  u32 any;
  asm volatile(
      "{\n"
      ".reg .pred p, q;\n"
      "setp.ne.b32 p, %1, 0;\n"
      "vote.sync.any.pred q, p, 0xffffffff;\n"
      "selp.b32 %0, 1, 0, q;\n"
      "}"
      : "=r"(any)
      : "r"(static_cast<u32>(mine))
      : "memory");
  return any != 0;
}

__device__ __forceinline__ bool vote_all(bool mine) {
  u32 all;
  asm volatile(
      "{\n"
      ".reg .pred p, q;\n"
      "setp.ne.b32 p, %1, 0;\n"
      "vote.sync.all.pred q, p, 0xffffffff;\n"
      "selp.b32 %0, 1, 0, q;\n"
      "}"
      : "=r"(all)
      : "r"(static_cast<u32>(mine))
      : "memory");
  return all != 0;
}

// Bit i says whether lane i has the same value as this one.
__device__ __forceinline__ u32 match_any(u32 value) {
  u32 lanes;
  asm volatile("match.any.sync.b32 %0, %1, 0xffffffff;" : "=r"(lanes) : "r"(value) : "memory");
  return lanes;
}

// The value of lane `lane % 32`, which may differ between lanes.
__device__ __forceinline__ u32 shuffle(u32 value, u32 lane) {
  u32 result;
  asm volatile("shfl.sync.idx.b32 %0, %1, %2, 0x1f, 0xffffffff;"
               : "=r"(result)
               : "r"(value), "r"(lane)
               : "memory");
  return result;
}

// The value of the lane whose number differs in the bits of `mask`.
__device__ __forceinline__ u32 shuffle_xor(u32 value, u32 mask) {
  u32 result;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;"
               : "=r"(result)
               : "r"(value), "r"(mask)
               : "memory");
  return result;
}

// The value of the lane `delta` further; the last ones keep their own.
__device__ __forceinline__ u32 shuffle_down(u32 value, u32 delta) {
  u32 result;
  asm volatile("shfl.sync.down.b32 %0, %1, %2, 0x1f, 0xffffffff;"
               : "=r"(result)
               : "r"(value), "r"(delta)
               : "memory");
  return result;
}

}  // namespace jdg::ptx
