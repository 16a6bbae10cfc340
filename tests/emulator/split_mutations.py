"""Mistakes in the FP8 GEMM for few tiles that must be found."""

from tests.emulator.mutations import Mutation
from tests.emulator.split_cases import split

_GEMM = "kernels/sm90_fp8_gemm_split.cuh"
_LOAD = "kernels/sm90_fp8_gemm_split_load.cuh"
_STORE = "kernels/sm90_fp8_gemm_split_store.cuh"
_TYPES = "kernels/sm90_fp8_gemm_split_types.cuh"

# Two tiles along M, the second with a rest of rows; an odd number of columns.
_SPLIT = split(
  70,
  13,
  768,
  block_n=16,
  num_math_warpgroups=1,
  stage_k_blocks=1,
  num_splits=4,
)
_BLOCKS = split(
  70,
  20,
  1024,
  block_n=32,
  num_math_warpgroups=1,
  stage_k_blocks=2,
  num_splits=1,
)
_TWO_WARPGROUPS = split(
  70, 20, 384, block_n=32, num_math_warpgroups=2, num_splits=1
)

SPLIT_MUTATIONS = (
  # Operands.
  Mutation(
    "split_bytes_of_a_whole_tile_for_the_rest",
    _LOAD,
    "rest ? params.rest_rows : Traits::kBlockM",
    "Traits::kBlockM",
    _BLOCKS,
  ),
  Mutation(
    "split_rest_of_rows_for_all_tiles",
    _LOAD,
    "const bool rest = params.m - work.row < Traits::kBlockM;",
    "const bool rest = true;",
    _BLOCKS,
  ),
  Mutation(
    "split_blocks_of_the_rest_alike",
    _LOAD,
    "(k_block + i) * kBlockK",
    "k_block * kBlockK",
    _BLOCKS,
  ),
  # Products and scales.
  Mutation(
    "split_stage_released_early",
    _GEMM,
    "if (k_block + 1 == kConfig.stage_k_blocks) {",
    "if (k_block == 0) {",
    _BLOCKS,
  ),
  Mutation(
    "split_first_warpgroup_only",
    _GEMM,
    "warp / 4 * 64 * kBlockK",
    "0",
    _TWO_WARPGROUPS,
  ),
  Mutation(
    "split_block_scales_of_the_first_split",
    _GEMM,
    "work.first_stage * kConfig.stage_k_blocks, params",
    "0, params",
    _SPLIT,
  ),
  # Splits.
  Mutation(
    "split_shares_of_k_overlap",
    _TYPES,
    "num_stages * (rank + 1) / kNumSplits",
    "num_stages",
    _SPLIT,
  ),
  Mutation(
    "split_cluster_not_awaited",
    _GEMM,
    "ptx::cluster_wait();\n      Store(",
    ";\n      Store(",
    _SPLIT,
  ),
  Mutation(
    "split_all_sent_to_one_place",
    _STORE,
    "place = work_.rank < owner ? work_.rank : work_.rank - 1;",
    "place = 0;",
    _SPLIT,
  ),
  Mutation(
    "split_sums_not_awaited",
    _STORE,
    "while (!ptx::mbarrier_try_wait_cluster(smem_.all_received, 0))",
    "while (false)",
    _SPLIT,
  ),
  Mutation(
    "split_own_part_forgotten",
    _STORE,
    "x[i] += own[i];",
    "x[i] += 0 * own[i];",
    _SPLIT,
  ),
  # Results.
  Mutation(
    "split_rows_beyond_the_last",
    _STORE,
    "if (row + 8 < params_.m) ",
    "",
    _BLOCKS,
  ),
  Mutation(
    "split_columns_beyond_the_last",
    _STORE,
    "    if (column >= params_.pitch) return;\n",
    "",
    _BLOCKS,
  ),
)
