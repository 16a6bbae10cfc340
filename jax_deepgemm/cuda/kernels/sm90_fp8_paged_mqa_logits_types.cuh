// Configuration, parameters and shared memory of the Hopper paged MQA logits.
#pragma once

#include "kernels/sm90_fp8_mqa_logits_types.cuh"

namespace jdg {

// Mirrors `Sm90Fp8PagedMqaLogitsConfig` in heuristics/sm90_fp8_paged_mqa_logits.py.
struct Sm90Fp8PagedMqaLogitsConfig {
  int num_heads;
  int head_dim;
  int block_kv;             // Keys of a page.
  int bank_n;               // Pairs of row and head of a product: wgmma's N.
  int max_banks;            // Products of a tile of keys, at most.
  int num_math_warpgroups;  // They take tiles in turn.
  int num_stages;           // Tiles of keys that are on their way.
  int max_columns;          // Of every 4, whose relu is a maximum.
  bool is_varlen;           // Adjacent rows of equal index are one sequence.
  bool float32_out;         // Logits are float32, else bfloat16.

  constexpr int block_q() const { return max_banks * bank_n / num_heads; }
};

struct Sm90Fp8PagedMqaLogitsParams {
  const ptx::TensorMap* q;        // {head_dim, rows * heads, 1}.
  const ptx::TensorMap* pages;    // {head_dim, bytes of a page / head_dim, pages}.
  const ptx::TensorMap* scales;   // {bytes of a page / 4, pages, 1}.
  const ptx::TensorMap* weights;  // {heads, rows, 1}.
  const int* lengths;             // Keys of each row; any value.
  const int* table;               // [sequences, max_pages]; any value.
  const int* indices;             // Of each row its sequence, if is_varlen.
  void* logits;                   // [rows, width].
  u32 num_rows;
  u32 next_n;  // Rows of a sequence; 1 if is_varlen.
  u32 num_pages;
  u32 max_pages;
  u32 most_keys;  // Of a row: what its table and the result have room for.
  u32 width;
  u32 clean;  // Whether `fill` is written.
  u32 fill;   // Bits of what is written beyond the keys; twice for bfloat16.

  static constexpr u32 compressed = 0;
};

__device__ __forceinline__ KeyRange key_range(const Sm90Fp8PagedMqaLogitsParams& params, u32 row) {
  const int length = min(params.lengths[row], static_cast<int>(params.most_keys));
  return {0, static_cast<u32>(max(length, 0))};
}

// What follows from a configuration.
template <Sm90Fp8PagedMqaLogitsConfig kConfig>
struct Sm90Fp8PagedMqaLogitsTraits {
  static constexpr Sm90Fp8PagedMqaLogitsConfig kConfiguration = kConfig;
  static constexpr int kBankN = kConfig.bank_n;
  static constexpr int kMaxBanks = kConfig.max_banks;
  static constexpr int kBlockQ = kConfig.block_q();
  static constexpr int kBlockKv = 64;
  static constexpr int kHeadDim = kConfig.head_dim;
  static constexpr int kBankQueries = kBankN / kConfig.num_heads;
  static constexpr int kPagesPerTile = kBlockKv / kConfig.block_kv;
  static constexpr int kNumMathWarps = kConfig.num_math_warpgroups * 4;
  static constexpr int kNumFillWarps = 3;
  static constexpr int kNumWarps = kNumMathWarps + 1 + kNumFillWarps;
  static constexpr int kNumThreads = kNumWarps * 32;
  static constexpr int kNumQueryStages = 2;
  static constexpr int kVectorBytes = kHeadDim;
  static constexpr bool kHasQueryScales = false;  // They are in the weights.
  // Whether a page is one copy, its scales behind its keys as in memory.
  static constexpr bool kCopiesPages = kPagesPerTile == 1;
  static constexpr u32 kPageBytes = kConfig.block_kv * (kHeadDim + 4);
  using Params = Sm90Fp8PagedMqaLogitsParams;

  static_assert(kBankQueries >= 1 && kBlockQ <= 32, "a lane looks at one row of a block");
  // A wait for a stage tells odd rounds from even ones. It must not be early by two, as it could if
  // another warpgroup had the stage in the round before.
  static_assert(kConfig.num_stages % kConfig.num_math_warpgroups == 0,
                "a stage is always the same warpgroup's");
  static_assert(kMaxBanks == 1 || kBankN % 64 == 0, "banks begin where copies may");

  using Element = typename LogitType<kConfig.float32_out>::Type;

  // Rows of a sequence, and the tiles of keys that this CTA multiplies with them.
  struct alignas(1024) QueryStage {
    u8 q[kMaxBanks * kBankN * kHeadDim];
    float weights[kMaxBanks * kBankN];
    RowTarget rows[kBlockQ];
    u32 first_tile;
    u32 num_tiles;
    u32 num_banks;
    ptx::Mbarrier full;   // Filled by the loading warp and TMA, awaited by math.
    ptx::Mbarrier empty;  // Released by math.
  };

  // Keys of one or two pages, and then their scales.
  struct alignas(1024) KeyStage {
    u8 keys[kBlockKv * kHeadDim];
    float scales[kBlockKv];
    ptx::Mbarrier full;
    ptx::Mbarrier empty;
  };

  static constexpr u32 kBankBytes = kBankN * (kHeadDim + 4);
  static constexpr u32 kKeyBytes = kBlockKv * (kHeadDim + 4);

  // Where the scale of a key is. A page that is a tile comes as rows as wide as a key, swizzled
  // alike: the second 128 bytes of scales have their words of 16 bytes exchanged in pairs.
  __device__ static __forceinline__ u32 scale_index(u32 key) {
    return kPagesPerTile == 1 ? key ^ key / 32 * 4 : key;
  }

  // The first of the tiles of a CTA.
  struct TileStart {
    u32 candidate;  // Of blocks.
    u32 tile;       // Of the block's.
  };

  struct Smem {
    QueryStage queries[kNumQueryStages];
    KeyStage stages[kConfig.num_stages];
    u32 warp_tiles[kNumWarps];
    u32 warp_runs[kNumWarps];
    TileStart start;
  };

  using QueryRing = StageRing<QueryStage, kNumQueryStages>;
  using KeyRing = StageRing<KeyStage, kConfig.num_stages>;
};

}  // namespace jdg
