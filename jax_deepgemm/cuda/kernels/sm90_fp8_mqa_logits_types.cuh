// Configuration, parameters and shared memory of the Hopper MQA logits.
#pragma once

#include "common/math.cuh"
#include "common/pipeline.cuh"

namespace jdg {

// Mirrors `Sm90Fp8MqaLogitsConfig` in heuristics/sm90_fp8_mqa_logits.py.
struct Sm90Fp8MqaLogitsConfig {
  int num_heads;
  int head_dim;
  int bank_n;               // Pairs of query and head of a product: wgmma's N.
  int num_math_warpgroups;  // Each has 64 keys of a tile.
  int num_stages;           // Tiles of keys that are on their way.
  int max_columns;          // Of every 4, whose relu is a maximum.
  bool float32_out;         // Logits are float32, else bfloat16.

  constexpr int block_q() const { return 2 * bank_n / num_heads; }
  constexpr int block_kv() const { return num_math_warpgroups * 64; }
};

struct Sm90Fp8MqaLogitsParams {
  const ptx::TensorMap* q;        // {head_dim, rows * heads, 1}.
  const ptx::TensorMap* keys;     // {head_dim, keys, 1}.
  const ptx::TensorMap* scales;   // {keys, 1, 1}.
  const ptx::TensorMap* weights;  // {heads, rows, 1}.
  const int* starts;              // First key of each row; any value.
  const int* ends;                // One past the last.
  void* logits;                   // [rows, width].
  u32 num_rows;
  u32 num_keys;    // Below 2^31.
  u32 width;       // Below 2^31.
  u32 compressed;  // Rows begin with their first key.
  u32 fill;        // Bits of what is written outside of ranges; twice for bfloat16.
};

// The keys of a row that have a logit.
struct KeyRange {
  u32 start;
  u32 count;
};

__device__ __forceinline__ KeyRange key_range(const Sm90Fp8MqaLogitsParams& params, u32 row) {
  const int num_keys = static_cast<int>(params.num_keys);
  const int start = min(max(params.starts[row], 0), num_keys);
  const int end = max(min(params.ends[row], num_keys), start);
  const u32 count = end - start;
  return {static_cast<u32>(start), params.compressed ? min(count, params.width) : count};
}

// Where logits of a row go: that of `key` to element `base` + key, modulo 2^64.
struct alignas(16) RowTarget {
  u64 base;
  KeyRange keys;
};

__device__ __forceinline__ RowTarget row_target(const Sm90Fp8MqaLogitsParams& params, u32 row) {
  if (row >= params.num_rows) return {0, {0, 0}};
  const KeyRange keys = key_range(params, row);
  const u64 base = static_cast<u64>(row) * params.width;
  return {params.compressed ? base - keys.start : base, keys};
}

template <bool kFloat32>
struct LogitType {
  using Type = float;
};
template <>
struct LogitType<false> {
  using Type = u16;
};

// What follows from a configuration.
template <Sm90Fp8MqaLogitsConfig kConfig>
struct Sm90Fp8MqaLogitsTraits {
  static constexpr Sm90Fp8MqaLogitsConfig kConfiguration = kConfig;
  static constexpr int kNumBanks = 2;  // One is summed while the other is multiplied.
  static constexpr int kBankN = kConfig.bank_n;
  static constexpr int kBlockQ = kConfig.block_q();
  static constexpr int kBlockKv = kConfig.block_kv();
  static constexpr int kHeadDim = kConfig.head_dim;
  static constexpr int kBankQueries = kBankN / kConfig.num_heads;
  static constexpr int kNumMathWarps = kConfig.num_math_warpgroups * 4;
  static constexpr int kNumFillWarps = 3;
  static constexpr int kNumWarps = kNumMathWarps + 1 + kNumFillWarps;
  static constexpr int kNumThreads = kNumWarps * 32;
  static constexpr int kNumQueryStages = 2;
  static constexpr bool kHasQueryScales = false;  // They are in the weights.
  using Params = Sm90Fp8MqaLogitsParams;

  static_assert(kBankQueries >= 1 && kBlockQ <= 32, "a lane looks at one row of a block");

  using Element = typename LogitType<kConfig.float32_out>::Type;

  // A block of queries and the tiles of keys that this CTA multiplies with it.
  struct alignas(1024) QueryStage {
    u8 q[kNumBanks * kBankN * kHeadDim];
    float weights[kNumBanks * kBankN];
    RowTarget rows[kBlockQ];
    u32 first_tile;
    u32 num_tiles;
    ptx::Mbarrier full;   // Filled by the loading warp and TMA, awaited by math.
    ptx::Mbarrier empty;  // Released by math.
  };

  struct alignas(1024) KeyStage {
    u8 keys[kBlockKv * kHeadDim];
    float scales[kBlockKv];
    ptx::Mbarrier full;
    ptx::Mbarrier empty;
  };

  static constexpr u32 kQueryBytes = kNumBanks * kBankN * (kHeadDim + 4);
  static constexpr u32 kKeyBytes = kBlockKv * (kHeadDim + 4);

  // The first of the tiles of a CTA.
  struct TileStart {
    u32 block;  // Of queries.
    u32 tile;   // Of the block's.
    u32 index;  // Of all tiles.
  };

  struct Smem {
    QueryStage queries[kNumQueryStages];
    KeyStage stages[kConfig.num_stages];
    u32 warp_tiles[kNumWarps];
    u32 warp_costs[kNumWarps];
    TileStart start;
    u32 end;  // Of all tiles, the first of the next CTA.
  };

  using QueryRing = StageRing<QueryStage, kNumQueryStages>;
  using KeyRing = StageRing<KeyStage, kConfig.num_stages>;
};

}  // namespace jdg
