"""Mistakes in the kernel for groups of few rows with FP4 weights."""

from tests.emulator.m_grouped_fp4_case import few_rows_case
from tests.emulator.mutations import Mutation

_KERNEL = "kernels/sm90_m_grouped_fp8_fp4_gemm_swapped.cuh"
_TYPES = "kernels/sm90_fp8_fp4_gemm_swapped_types.cuh"
_LOAD = "kernels/sm90_fp8_fp4_gemm_swapped_load.cuh"
_SCHEDULER = "common/grouped_warp_scheduler.cuh"

# Two tiles along N, groups of none, one and several tiles along M.
_RAGGED = few_rows_case(
  "ragged", (3, 0, 20, 1), 70, 160, m=24, block_m=8, stage_k_blocks=1
)
# K ends within the first of a stage's two blocks.
_CUT = few_rows_case(
  "ragged", (3, 5), 40, 300, m=8, block_m=8, stage_k_blocks=2
)
_MANY = few_rows_case(
  "ragged", (1, 0, 2) * 15, 40, 128, m=45, block_m=8, stage_k_blocks=1
)

M_GROUPED_FP4_MUTATIONS = (
  Mutation(
    "few_rows_previous_kernel_not_awaited",
    _KERNEL,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _RAGGED,
  ),
  Mutation(
    "few_rows_bytes_of_scales_awaited",
    _TYPES,
    "(kGroupsRows ? 0 : kBlockM * 4)",
    "kBlockM * 4",
    _RAGGED,
  ),
  Mutation(
    "few_rows_scales_behind_the_last_row",
    _LOAD,
    "row < place.end && first",
    "first",
    _RAGGED,
  ),
  Mutation(
    "few_rows_scales_behind_the_last_k_block",
    _LOAD,
    " && first + block < params.num_k_blocks;",
    ";",
    _CUT,
  ),
  Mutation(
    "few_rows_of_the_next_group_stored",
    _KERNEL,
    "params.d, tile.end - tile.row,",
    "params.d, kConfig.block_m,",
    _RAGGED,
  ),
  Mutation(
    "few_rows_last_round_left_out",
    _SCHEDULER,
    "/ gridDim.x + 1 : 0",
    "/ gridDim.x : 0",
    _RAGGED,
  ),
  Mutation(
    "few_rows_next_group_late",
    _SCHEDULER,
    "index_ >= table_.first_tile[group + 1]",
    "index_ > table_.first_tile[group + 1]",
    _RAGGED,
  ),
  Mutation(
    "few_rows_groups_before_not_counted",
    _SCHEDULER,
    "return first_ + __popc(ended);",
    "return __popc(ended);",
    _MANY,
  ),
)
