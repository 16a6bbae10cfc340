"""Mistakes in BF16 GEMMs of groups of rows that the emulator must find."""

from tests.emulator.m_grouped_bf16_case import bf16_case
from tests.emulator.mutations import Mutation

_GEMM = "kernels/sm90_bf16_gemm.cuh"
_LOAD = "kernels/sm90_bf16_gemm_load.cuh"
_STORE = "kernels/sm90_bf16_gemm_store.cuh"
_ROWS = "common/row_store.cuh"

_PLAIN = bf16_case("ragged", (3, 0, 70, 1, 17), 100, 150, m=101, block_n=64)
# Of two slabs the first is stored by TMA, the second by rows.
_SLABS = bf16_case(
  "ragged",
  (70, 70),
  200,
  128,
  m=140,
  num_slabs=2,
  block_n=64,
  num_store_slots=2,
  num_sms=1,
)
# The second warpgroup has no row.
_IDLE = bf16_case(
  "ragged",
  (20, 30),
  200,
  256,
  m=50,
  num_math_warpgroups=2,
  num_slabs=1,
  block_n=64,
)

M_GROUPED_BF16_MUTATIONS = (
  Mutation(
    "grouped_stores_not_counted",
    _STORE,
    "        if (lane_ == 0) ptx::tma_store_commit();\n",
    "",
    _SLABS,
  ),
  Mutation(
    "grouped_rows_of_the_next_group_stored",
    _STORE,
    "row_ + slab * 64 + kStoreRows <= end_",
    "row_ + slab * 64 < end_",
    _PLAIN,
  ),
  Mutation(
    "grouped_pairs_of_other_columns_stored",
    _ROWS,
    "(2 * group + half)",
    "(group + half)",
    _PLAIN,
  ),
  Mutation(
    "grouped_bytes_of_missing_rows_awaited",
    _LOAD,
    "kTransactionBytes - missing);\n          if (loads_a) live",
    "kTransactionBytes);\n          if (loads_a) live",
    _IDLE,
  ),
  Mutation(
    "grouped_b_of_the_first_group",
    _LOAD,
    "Work::operand_group(tile.group)",
    "Work::operand_group(0)",
    _PLAIN,
  ),
  Mutation(
    "grouped_idle_warps_do_not_wait",
    _GEMM,
    "      await_stage(ring);\n",
    "",
    _IDLE,
  ),
  Mutation(
    "grouped_idle_warps_keep_stages",
    _GEMM,
    "      release(ring.barriers(), lane);\n",
    "",
    _IDLE,
  ),
  Mutation(
    "grouped_rows_of_none_left_out",
    _GEMM,
    "warp > Traits::kNumMathWarps)",
    "warp > Traits::kNumMathWarps + 1)",
    _PLAIN,
  ),
)
