"""Mistakes in the BF16 GEMM over a K of many runs that must be found."""

from tests.emulator.batched_k_case import runs_case
from tests.emulator.mutations import Mutation

_GEMM = "kernels/sm90_batched_k_bf16_gemm.cuh"
_LOAD = "kernels/sm90_bf16_gemm_load.cuh"

_PARTS = runs_case(5, 70, 40, 128, 4, block_n=48)

BATCHED_K_MUTATIONS = (
  Mutation(
    "runs_parts_all_short",
    _GEMM,
    "min(tile.group, params.longer_parts)",
    "0u",
    _PARTS,
  ),
  Mutation(
    "runs_longer_parts_end_early",
    _GEMM,
    "(params.part_stages + (tile.group < params.longer_parts))",
    "params.part_stages",
    _PARTS,
  ),
  Mutation(
    "runs_blocks_of_the_first_run",
    _GEMM,
    "return {run,",
    "return {0,",
    _PARTS,
  ),
  Mutation(
    "runs_without_a_place",
    _LOAD,
    "if constexpr (Work::kBatchesK) in_a",
    "if constexpr (false) in_a",
    _PARTS,
  ),
)
