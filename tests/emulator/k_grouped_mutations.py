"""Mistakes in the K-grouped GEMM that the emulator must find."""

from tests.emulator.k_grouped_case import k_case
from tests.emulator.mutations import Mutation

_GEMM = "kernels/sm90_k_grouped_fp8_gemm.cuh"
_STORE = "kernels/sm90_fp8_gemm_store.cuh"
_LOAD = "kernels/sm90_fp8_gemm_load.cuh"
_SCHEDULER = "common/k_grouped_scheduler.cuh"

_ALL_SIZES = k_case(70, 100, (130, 0, 1, 128, 300), block_n=64)
_WITH_C = k_case(70, 100, (130, 0, 300), block_n=64, with_c=True)
_PARTS = k_case(70, 40, (1000, 0, 100), block_n=32, num_parts=4)

K_GROUPED_MUTATIONS = (
  Mutation(
    "k_grouped_table_not_awaited",
    _GEMM,
    "place(params, table, i);\n    __syncthreads();\n",
    "place(params, table, i);\n",
    _ALL_SIZES,
  ),
  Mutation(
    "k_grouped_sizes_not_awaited",
    _GEMM,
    "    __syncthreads();\n    for (u32 i = threadIdx.x; i < num_groups; "
    "i += kNumThreads) place",
    "    for (u32 i = threadIdx.x; i < num_groups; i += kNumThreads) place",
    _ALL_SIZES,
  ),
  Mutation(
    "k_grouped_blocks_rounded_down",
    _GEMM,
    "(elements + kBlockK - 1) / kBlockK",
    "elements / kBlockK",
    _ALL_SIZES,
  ),
  Mutation(
    "k_grouped_equal_sizes_share_a_place",
    _GEMM,
    "(other == size && j < i)",
    "false",
    _ALL_SIZES,
  ),
  Mutation(
    "k_grouped_groups_begin_at_the_next",
    _GEMM,
    "if (j < i) first",
    "if (j <= i) first",
    _ALL_SIZES,
  ),
  Mutation(
    "k_grouped_empty_groups_read_the_first_block",
    _GEMM,
    "KGroup{i, end, 1}",
    "KGroup{i, 0, 1}",
    _ALL_SIZES,
  ),
  Mutation(
    "k_grouped_empty_groups_left_out",
    _GEMM,
    "other > 0 || !kConfig.with_c",
    "other > 0",
    _ALL_SIZES,
  ),
  Mutation(
    "k_grouped_parts_overlap",
    _GEMM,
    "- size * part / params.num_parts",
    "- size * part / (params.num_parts + 1)",
    _PARTS,
  ),
  Mutation(
    "k_grouped_stored_over_c",
    _STORE,
    "ptx::tma_store_add(map",
    "ptx::tma_store(map",
    _WITH_C,
  ),
  Mutation(
    "k_grouped_loads_from_the_first_block",
    _LOAD,
    "u32 k_block = first; k_block < end;",
    "u32 k_block = 0; k_block < end - first;",
    _ALL_SIZES,
  ),
  Mutation(
    "k_grouped_steps_do_not_alternate",
    _SCHEDULER,
    "    step_ = both_steps_ - step_;\n",
    "",
    _WITH_C,
  ),
  Mutation(
    "k_grouped_table_read_past_its_end",
    _SCHEDULER,
    "    if (!valid()) return {};\n",
    "",
    k_case(70, 100, (130,) * 64, block_n=64, num_sms=30),
  ),
)
