// What the Hopper MQA logits write outside of the rows' ranges.
#pragma once

#include "kernels/sm90_fp8_mqa_logits_types.cuh"

namespace jdg {

// Warps `warp`, `warp + num_warps`, ... of the grid share the rows.
template <typename Element, typename Params>
class OutsideFill {
 public:
  __device__ __forceinline__ OutsideFill(const Params& params, u32 lane)
      : params_(params), lane_(lane) {}

  __device__ __forceinline__ void rows(u32 warp, u32 num_warps) const {
#pragma unroll 1
    for (u32 row = warp; row < params_.num_rows; row += num_warps) {
      const KeyRange keys = key_range(params_, row);
      const u32 first = params_.compressed ? 0 : keys.start;
      Element* line = static_cast<Element*>(params_.logits) + static_cast<u64>(row) * params_.width;
      elements(line, first);
      elements(line + first + keys.count, params_.width - first - keys.count);
    }
  }

 private:
  static constexpr u32 kPerWord = 16 / sizeof(Element);

  // Fills `count` elements: words of 16 bytes, and what is no whole word at both ends.
  __device__ __forceinline__ void elements(Element* first, u32 count) const {
    const u32 behind = reinterpret_cast<u64>(first) / sizeof(Element) % kPerWord;
    const u32 head = min((kPerWord - behind) % kPerWord, count);
    if (lane_ < head) first[lane_] = element();
    first += head;
    count -= head;
    uint4* words = reinterpret_cast<uint4*>(first);
    const u32 num_words = count / kPerWord;
    const uint4 word = {params_.fill, params_.fill, params_.fill, params_.fill};
#pragma unroll 4
    for (u32 i = lane_; i < num_words; i += 32) words[i] = word;
    const u32 tail = num_words * kPerWord + lane_;
    if (tail < count) first[tail] = element();
  }

  __device__ __forceinline__ Element element() const {
    if constexpr (sizeof(Element) == 4) {
      return __uint_as_float(params_.fill);
    } else {
      return static_cast<Element>(params_.fill);
    }
  }

  const Params& params_;
  u32 lane_;
};

}  // namespace jdg
