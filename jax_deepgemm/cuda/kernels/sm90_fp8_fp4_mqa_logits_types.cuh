// Parameters and shared memory of the Hopper MQA logits of FP4 vectors.
#pragma once

#include "common/fp4_exponents.cuh"
#include "kernels/sm90_fp8_mqa_logits_types.cuh"

namespace jdg {

// `q` and `keys` are of packed codes, {head_dim / 2 bytes, vectors, 1}, `scales` of exponents.
struct Sm90Fp8Fp4MqaLogitsParams : Sm90Fp8MqaLogitsParams {
  const ptx::TensorMap* q_scales;  // {rows * heads, 1, 1}.
  // The same arrays, for pairs that the tensor cores cannot compute.
  const u8* q_codes;
  const u8* key_codes;
  const u32* q_exponents;
  const u32* key_exponents;
  const float* head_weights;
};

// What is loaded, under the names that FP8 has for what is multiplied.
template <Sm90Fp8MqaLogitsConfig kConfig>
struct Sm90Fp8Fp4MqaLogitsTraits : Sm90Fp8MqaLogitsTraits<kConfig> {
  using Decoded = Sm90Fp8MqaLogitsTraits<kConfig>;
  using Params = Sm90Fp8Fp4MqaLogitsParams;
  static constexpr int kCodeBytes = kConfig.head_dim / 2;
  static constexpr int kColumns = Decoded::kNumBanks * Decoded::kBankN;
  static constexpr int kNumDecodeWarps = 4;
  static constexpr int kNumDecodeThreads = kNumDecodeWarps * 32;
  static constexpr int kNumWarps = Decoded::kNumWarps + kNumDecodeWarps;
  static constexpr int kNumThreads = kNumWarps * 32;
  // As many as are decoded, so that a position tells both.
  static constexpr int kNumStages = kConfig.num_stages;
  static constexpr bool kHasQueryScales = true;
  // A thread's; of four warpgroups no more than there are.
  static constexpr int kMathRegisters = Decoded::kBankN == 128 ? 216 : 152;
  static constexpr int kOtherRegisters = 40;

  // A block of queries is decoded before its tiles: the next one has time to come.
  struct alignas(1024) QueryStage {
    u8 q[kColumns * kCodeBytes];
    u32 q_scales[kColumns];
    float weights[kColumns];
    RowTarget rows[Decoded::kBlockQ];
    u32 first_tile;
    u32 num_tiles;
    ptx::Mbarrier full;   // Filled by the loading warp and TMA, awaited by the decoding warps.
    ptx::Mbarrier empty;  // Released by those.
  };

  struct alignas(1024) KeyStage {
    u8 keys[Decoded::kBlockKv * kCodeBytes];
    u32 scales[Decoded::kBlockKv];
    ptx::Mbarrier full;
    ptx::Mbarrier empty;
  };

  static constexpr u32 kQueryBytes = kColumns * (kCodeBytes + 8);
  static constexpr u32 kKeyBytes = Decoded::kBlockKv * (kCodeBytes + 4);

  struct Smem {
    QueryStage queries[1];
    KeyStage stages[kNumStages];
    u32 warp_tiles[kNumWarps];  // Those of the CTA, once they are shared out.
    u32 warp_costs[kNumWarps];
    typename Decoded::TileStart start;
    u32 end;
    u32 any_wide;  // A vector of this CTA's tiles is wide.
  };

  using QueryRing = StageRing<QueryStage, 1>;
  using KeyRing = StageRing<KeyStage, kNumStages>;
};

}  // namespace jdg
