"""Mistakes in the BF16 GEMM with swapped operands that must be found.

Those in what it shares with FP8 are in swapped_mutations.py.
"""

from jax_deepgemm.primitives.memory_order import MemoryOrder
from tests.emulator.bf16_swapped_cases import swapped
from tests.emulator.mutations import Mutation

_GEMM = "kernels/sm90_bf16_gemm_swapped.cuh"
_LOAD = "kernels/sm90_bf16_gemm_swapped_load.cuh"
_TYPES = "kernels/sm90_bf16_gemm_swapped_types.cuh"

_SPLIT = swapped("nt", 11, 101, 512, stage_k_blocks=2, num_splits=2)
_LONG = swapped("nt", 1, 16, 1088, stage_k_blocks=1, num_splits=1)
_TWO_WARPGROUPS = swapped("nt", 20, 150, 448, num_math_warpgroups=2)
_TALL_BOXES = swapped(
  "nn", 9, 140, 512, stage_k_blocks=2, num_math_warpgroups=2
)
_WIDE_LINES = swapped("tt", 70, 64, 256, stage_k_blocks=2, num_splits=1)
_FEW_FRAGMENTS = swapped("nt", 3, 64, 512, stage_k_blocks=1, num_splits=8)

_INSIDE = swapped(
  "nn", 4, 70, 72, groups=3, memory=MemoryOrder(True, d_groups_inside=True)
)

BF16_SWAPPED_MUTATIONS = (
  # Lines of the result.
  Mutation(
    "bf16_swapped_rows_are_neighbours",
    "common/swapped_tile.cuh",
    "of_row * row",
    "of_row",
    _INSIDE,
  ),
  # Pipeline.
  Mutation(
    "bf16_swapped_producer_does_not_wait",
    _LOAD,
    "      wait(ring.barriers().empty, ring.parity() ^ 1);\n",
    "",
    _LONG,
  ),
  Mutation(
    "bf16_swapped_producer_waits_for_the_other_phase",
    _LOAD,
    "ring.parity() ^ 1",
    "ring.parity()",
    _LONG,
  ),
  Mutation(
    "bf16_swapped_consumer_waits_for_the_other_phase",
    _GEMM,
    "wait(ring.barriers().full, ring.parity())",
    "wait(ring.barriers().full, ring.parity() ^ 1)",
    _LONG,
  ),
  Mutation(
    "bf16_swapped_stage_released_while_it_is_read",
    _GEMM,
    "      ptx::wgmma_wait<1>();\n",
    "",
    _LONG,
  ),
  Mutation(
    "bf16_swapped_wrong_stage_released",
    _GEMM,
    "mbarrier_arrive(before.empty)",
    "mbarrier_arrive(ring.barriers().empty)",
    _LONG,
  ),
  Mutation(
    "bf16_swapped_stage_not_released",
    _GEMM,
    "      if (lane == 0) ptx::mbarrier_arrive(before.empty);\n",
    "",
    _LONG,
  ),
  Mutation(
    "bf16_swapped_barriers_not_fenced",
    _GEMM,
    "    ptx::mbarrier_init_fence();\n",
    "",
    _SPLIT,
  ),
  Mutation(
    "bf16_swapped_barriers_not_awaited",
    _GEMM,
    "    __syncthreads();\n",
    "",
    _SPLIT,
  ),
  Mutation(
    "bf16_swapped_previous_kernel_not_awaited",
    _GEMM,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _SPLIT,
  ),
  Mutation(
    "bf16_swapped_too_few_bytes",
    _TYPES,
    "kStageKBlocks * (kARows + kBlockN) *",
    "kStageKBlocks * (kBlockN) *",
    _SPLIT,
  ),
  Mutation(
    "bf16_swapped_bytes_of_missing_rows_awaited",
    _LOAD,
    " - Traits::Rows::missing_bytes(params.m)",
    "",
    _SPLIT,
  ),
  Mutation(
    "bf16_swapped_blocks_of_rows_over_each_other",
    _LOAD,
    "smem + i * (kRows * kBf16LineBytes)",
    "smem",
    _SPLIT,
  ),
  # Products.
  Mutation(
    "bf16_swapped_registers_not_fenced",
    _GEMM,
    "    ptx::wgmma_fence();\n",
    "",
    _LONG,
  ),
  Mutation(
    "bf16_swapped_sums_read_too_early",
    _GEMM,
    "    ptx::wgmma_wait<0>();\n",
    "",
    _SPLIT,
  ),
  Mutation(
    "bf16_swapped_every_block_sets_the_sums",
    _GEMM,
    "kFirst && kBlock == 0",
    "kFirst",
    _SPLIT,
  ),
  Mutation(
    "bf16_swapped_first_warpgroup_only",
    _GEMM,
    "b_offset(warp / 4, kBlock)",
    "b_offset(0, kBlock)",
    _TWO_WARPGROUPS,
  ),
  Mutation(
    "bf16_swapped_blocks_of_another_major",
    _TYPES,
    "(kMnMajor ? kStageKBlocks : 1)",
    "(kMnMajor ? 1 : kStageKBlocks)",
    _TALL_BOXES,
  ),
  Mutation(
    "bf16_swapped_one_block_for_all",
    _TYPES,
    "kPerWarpgroup + block * kPerBlock",
    "kPerWarpgroup",
    _SPLIT,
  ),
  Mutation(
    "bf16_swapped_one_part_of_b",
    _LOAD,
    "work.column + part * kBf16AtomRows",
    "work.column",
    _TALL_BOXES,
  ),
  Mutation(
    "bf16_swapped_one_part_of_a",
    _LOAD,
    "                        atom * kBf16AtomRows, ",
    "                        0, ",
    _WIDE_LINES,
  ),
  Mutation(
    "bf16_swapped_one_block_of_a",
    _LOAD,
    "(k_block + block) * kBf16BlockK",
    "k_block * kBf16BlockK",
    _WIDE_LINES,
  ),
  # Splits.
  Mutation(
    "bf16_swapped_cluster_not_awaited",
    _GEMM,
    "ptx::cluster_wait();\n      Store(",
    ";\n      Store(",
    _FEW_FRAGMENTS,
  ),
  Mutation(
    "bf16_swapped_nothing_expected",
    _GEMM,
    "      if (loads) Store::expect(smem, work.rank);\n",
    "",
    _FEW_FRAGMENTS,
  ),
)
