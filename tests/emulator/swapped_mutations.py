"""Mistakes in the FP8 GEMM with swapped operands that must be found."""

from tests.emulator.mutations import Mutation
from tests.emulator.swapped_cases import swapped

_GEMM = "kernels/sm90_fp8_gemm_swapped.cuh"
_LOAD = "kernels/sm90_fp8_gemm_swapped_load.cuh"
_TILE = "common/swapped_tile.cuh"
_STORE = "common/swapped_store.cuh"

_SPLIT = swapped(11, 101, 1024, stage_k_blocks=2, num_splits=2)
_TWO_WARPGROUPS = swapped(
  20, 150, 640, num_splits=1, num_math_warpgroups=2, sfb_per_row=True
)
# Scales of A are read while sums are added, not before.
_WIDE = swapped(40, 64, 1024, stage_k_blocks=1, num_splits=1)
_LONG = swapped(1, 16, 34 * 128, stage_k_blocks=2, num_splits=1)
_CUT = swapped(5, 70, 461, stage_k_blocks=2, num_splits=1)
_FEW_FRAGMENTS = swapped(3, 64, 1024, stage_k_blocks=1, num_splits=8)

SWAPPED_MUTATIONS = (
  # The stage in which K ends.
  Mutation(
    "end_of_k_left_out",
    "common/k_cut.cuh",
    "return k_block - first < count;",
    "return false;",
    _CUT,
  ),
  Mutation(
    "swapped_blocks_of_the_end_alike",
    _LOAD,
    "(k_block + i) * kBlockK",
    "k_block * kBlockK",
    _CUT,
  ),
  # Fewer rows than a stage has room for.
  Mutation(
    "swapped_bytes_of_missing_rows_awaited",
    _LOAD,
    " - Traits::Rows::missing_bytes(params.m)",
    "",
    _CUT,
  ),
  Mutation(
    "swapped_few_rows_in_boxes_of_stages",
    _TILE,
    "kStageKBlocks > 1 && m < kBlockM",
    "false",
    _CUT,
  ),
  # Pipeline.
  Mutation(
    "swapped_producer_does_not_wait",
    _LOAD,
    "      wait(stage.empty, ring.parity() ^ 1);\n",
    "",
    _LONG,
  ),
  Mutation(
    "swapped_stage_not_released",
    _GEMM,
    "if (lane == 0) ptx::mbarrier_arrive(stage.empty);",
    "",
    _LONG,
  ),
  Mutation(
    "swapped_stage_released_before_other_lanes_read_it",
    _GEMM,
    "    __syncwarp();\n    if (lane == 0) ptx::mbarrier_arrive(stage.empty);",
    "    if (lane == 0) ptx::mbarrier_arrive(stage.empty);",
    _WIDE,
  ),
  Mutation(
    "swapped_barriers_not_fenced",
    _GEMM,
    "    ptx::mbarrier_init_fence();\n",
    "",
    _SPLIT,
  ),
  Mutation(
    "swapped_barriers_not_awaited",
    _GEMM,
    "    __syncthreads();\n",
    "",
    _SPLIT,
  ),
  Mutation(
    "swapped_previous_kernel_not_awaited",
    _GEMM,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _SPLIT,
  ),
  # Products and scales.
  Mutation(
    "swapped_product_read_too_early",
    _GEMM,
    "wait_block_mma<kMmaKBlocks - 1 - kBlock>",
    "wait_block_mma<kMmaKBlocks - kBlock>",
    _SPLIT,
  ),
  Mutation(
    "swapped_first_warpgroup_only",
    _GEMM,
    "warp / 4 * 64 * kBlockK",
    "0",
    _TWO_WARPGROUPS,
  ),
  Mutation(
    "swapped_scales_of_the_first_rows",
    _GEMM,
    "[warp * 16 + lane / 4]",
    "[lane / 4]",
    _TWO_WARPGROUPS,
  ),
  Mutation(
    "swapped_every_block_sets_the_sums",
    _GEMM,
    "kFirst && k_block == 0",
    "kFirst",
    _SPLIT,
  ),
  Mutation(
    "block_scales_kept_too_long",
    "common/block_scales.cuh",
    "if (++index_ == 32) refill();",
    "++index_;",
    _LONG,
  ),
  # Splits.
  Mutation(
    "swapped_splits_overlap",
    _TILE,
    "num_stages * (rank + 1) / kNumSplits",
    "num_stages",
    _SPLIT,
  ),
  Mutation(
    "swapped_cluster_not_awaited",
    _GEMM,
    "ptx::cluster_wait();\n      Store(",
    ";\n      Store(",
    _FEW_FRAGMENTS,
  ),
  Mutation(
    "swapped_fragments_not_awaited",
    _STORE,
    "while (!ptx::mbarrier_try_wait_cluster(smem_.all_received, 0))",
    "while (false)",
    _SPLIT,
  ),
  Mutation(
    "swapped_too_few_bytes_awaited",
    _STORE,
    "fragments * kNumSplits * sizeof",
    "(fragments - 1) * kNumSplits * sizeof",
    _SPLIT,
  ),
  Mutation(
    "swapped_all_sent_to_one_place",
    _STORE,
    "work_.rank * Fragments::kOwn + ",
    "",
    _FEW_FRAGMENTS,
  ),
  Mutation(
    "swapped_a_split_forgotten",
    _STORE,
    "for (u32 split = 0;",
    "for (u32 split = 1;",
    _FEW_FRAGMENTS,
  ),
  # Results.
  Mutation(
    "swapped_transposed_overwritten",
    _STORE,
    "    __syncwarp();  // The fragment before was read.\n",
    "",
    _TWO_WARPGROUPS,
  ),
  Mutation(
    "swapped_transposed_read_too_early",
    _STORE,
    "    __syncwarp();\n    const u32 row",
    "    const u32 row",
    _TWO_WARPGROUPS,
  ),
  Mutation(
    "swapped_rows_beyond_the_last",
    _STORE,
    "row >= params_.m || ",
    "",
    _SPLIT,
  ),
  Mutation(
    "swapped_columns_beyond_the_last",
    _STORE,
    " || column >= params_.pitch",
    "",
    _SPLIT,
  ),
)
