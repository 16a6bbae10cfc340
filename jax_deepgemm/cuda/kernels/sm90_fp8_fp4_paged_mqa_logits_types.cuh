// Configuration, parameters and shared memory of the Hopper paged MQA logits of FP4 vectors.
#pragma once

#include "common/fp4_exponents.cuh"
#include "kernels/sm90_fp8_paged_mqa_logits_types.cuh"

namespace jdg {

// Mirrors `Sm90Fp8Fp4PagedMqaLogitsConfig` in heuristics/sm90_fp8_fp4_paged_mqa_logits.py.
struct Sm90Fp8Fp4PagedMqaLogitsConfig {
  int num_heads;
  int head_dim;
  int block_kv;
  int bank_n;
  int max_banks;
  int num_math_warpgroups;
  int num_stages;  // Tiles that are decoded.
  int max_columns;
  bool is_varlen;
  bool float32_out;
  int num_packed_stages;  // Tiles that are on their way.
  int num_decode_warps;   // They take tiles in turn.

  // That of what multiplies.
  constexpr Sm90Fp8PagedMqaLogitsConfig decoded() const {
    return {.num_heads = num_heads,
            .head_dim = head_dim,
            .block_kv = block_kv,
            .bank_n = bank_n,
            .max_banks = max_banks,
            .num_math_warpgroups = num_math_warpgroups,
            .num_stages = num_stages,
            .max_columns = max_columns,
            .is_varlen = is_varlen,
            .float32_out = float32_out};
  }
};

// `q` is of packed codes, {head_dim / 2 bytes, rows * heads, 1}, and `pages` are lines of 128
// bytes, {128, bytes of a page / 128, pages}; there are no `scales`.
struct Sm90Fp8Fp4PagedMqaLogitsParams : Sm90Fp8PagedMqaLogitsParams {
  const ptx::TensorMap* q_scales;  // {heads, rows, 1}.
  // The same arrays, for vectors that the tensor cores cannot multiply.
  const u8* q_codes;
  const u8* page_bytes;
  const u32* q_exponents;
  const float* head_weights;
};

// What is loaded, under the names that FP8 has for what is multiplied.
template <Sm90Fp8Fp4PagedMqaLogitsConfig kConfig>
struct Sm90Fp8Fp4PagedMqaLogitsTraits : Sm90Fp8PagedMqaLogitsTraits<kConfig.decoded()> {
  using Decoded = Sm90Fp8PagedMqaLogitsTraits<kConfig.decoded()>;
  using Params = Sm90Fp8Fp4PagedMqaLogitsParams;
  static constexpr int kVectorBytes = kConfig.head_dim / 2;
  static constexpr int kColumns = Decoded::kMaxBanks * Decoded::kBankN;
  static constexpr int kNumDecodeWarps = kConfig.num_decode_warps;
  static constexpr int kNumWarps = Decoded::kNumWarps + kNumDecodeWarps;
  static constexpr int kNumThreads = kNumWarps * 32;
  static constexpr int kNumStages = kConfig.num_packed_stages;
  static constexpr bool kHasQueryScales = true;
  static constexpr bool kCopiesPages = true;
  static constexpr u32 kPageLine = 128;  // Bytes that TMA swizzles, of one vector or several.
  static constexpr u32 kPageKeyBytes = kConfig.block_kv * kVectorBytes;
  static constexpr u32 kPageBytes = kConfig.block_kv * (kVectorBytes + 4);
  // A thread's registers: multiples of 8, no more together than a block has at its start.
  static constexpr int kOtherRegisters = kConfig.num_math_warpgroups == 2 ? 56 : 48;
  static constexpr int kOtherThreads = kNumThreads - Decoded::kNumMathWarps * 32;
  static constexpr int kAllRegisters = 65536 / kNumThreads / 8 * 8 * kNumThreads;
  static constexpr int kMathRegisters =
      min_of(232,
             (kAllRegisters - kOtherThreads * kOtherRegisters) / (Decoded::kNumMathWarps * 32)) /
      8 * 8;

  static_assert(kPageBytes % kPageLine == 0, "a page is whole lines");
  static_assert(kNumDecodeWarps % 4 == 0, "a warpgroup has its registers as a whole");
  static_assert(kNumStages % kNumDecodeWarps == 0 && kConfig.num_stages % kNumDecodeWarps == 0,
                "a stage is always the same decoding warp's");

  // A block of queries is decoded before its tiles: the next one has time to come.
  struct alignas(1024) QueryStage {
    u8 q[kColumns * kVectorBytes];
    alignas(128) u32 q_scales[kColumns];
    alignas(128) float weights[kColumns];
    RowTarget rows[Decoded::kBlockQ];
    u32 first_tile;
    u32 num_tiles;
    u32 num_banks;
    ptx::Mbarrier full;   // Filled by the loading warp and TMA, awaited by the decoding warps.
    ptx::Mbarrier empty;  // Released by those.
  };

  // One or two pages: keys, and then their exponents, all of it swizzled.
  struct alignas(1024) KeyStage {
    u8 keys[Decoded::kPagesPerTile * kPageBytes];
    ptx::Mbarrier full;   // Awaited by one decoding warp.
    ptx::Mbarrier empty;  // Released by it.
  };

  static constexpr u32 kBankBytes = Decoded::kBankN * (kVectorBytes + 8);
  static constexpr u32 kKeyBytes = Decoded::kPagesPerTile * kPageBytes;

  // Where the codes of a key are, counted in vectors from the beginning of its stage.
  __device__ static __forceinline__ u32 vector_index(u32 key) {
    return key / kConfig.block_kv * (kPageBytes / kVectorBytes) + key % kConfig.block_kv;
  }

  // The exponents of a key.
  __device__ static __forceinline__ u32 exponents(const KeyStage& stage, u32 key) {
    const u32 plain =
        key / kConfig.block_kv * kPageBytes + kPageKeyBytes + key % kConfig.block_kv * 4;
    const u32 swizzled = plain ^ plain / kPageLine % (kPageLine / 16) * 16;
    return *reinterpret_cast<const u32*>(&stage.keys[swizzled]);
  }

  struct Smem {
    QueryStage queries[1];
    KeyStage stages[kNumStages];
    u32 warp_tiles[kNumWarps];  // Those of the CTA, once they are shared out.
    u32 warp_runs[kNumWarps];
    typename Decoded::TileStart start;
    u32 any_wide;  // A vector of this CTA's tiles is wide.
  };

  using QueryRing = StageRing<QueryStage, 1>;
  using KeyRing = StageRing<KeyStage, kNumStages>;
};

}  // namespace jdg
