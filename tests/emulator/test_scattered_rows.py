"""Rows of results at addresses that only the device knows."""

import pytest

from tests.emulator.m_grouped_bf16_case import bf16_case
from tests.emulator.m_grouped_case import grouped_case
from tests.emulator.m_grouped_fp4_case import few_rows_case, grouped_fp4_case
from tests.emulator.mutated import is_found
from tests.emulator.mutations import Mutation
from tests.emulator.scattered_case import ScatteredCase
from tests.emulator.schedules import assert_same_right_result

_SCATTER = "common/scatter_rows.cuh"
_BF16_STORE = "kernels/sm90_bf16_gemm_store.cuh"
_SIZES = (3, 0, 70, 1, 18)
# Tiles whose columns come from two places, and reach beyond those of D.
_WIDE = grouped_case("ragged", _SIZES, 200, 256, m=100, block_n=160)
# Two slabs, of which the second may have no row; staging buffers in turn.
_SLABS = bf16_case(
  "ragged",
  (130, 60),
  136,
  128,
  m=200,
  num_slabs=2,
  block_n=64,
  num_store_slots=2,
  num_sms=1,
)

CASES = [
  ScatteredCase(case)
  for case in (
    _WIDE,
    grouped_case(
      *("ragged", (130, 90), 136, 128),
      m=224,
      block_n=64,
      num_math_warpgroups=2,
      cluster_n=2,
      num_sms=4,
    ),
    # Boxes that repeat columns.
    grouped_case("ragged", (40, 30), 96, 256, m=72, block_n=96),
    grouped_fp4_case("ragged", (40, 30), 72, 256, m=72, block_n=64),
    few_rows_case("ragged", (9, 0, 25, 1), 72, 256, m=36, block_m=16),
    # Boxes of whole columns, and the last one behind those of D.
    bf16_case("ragged", _SIZES, 200, 152, m=101, block_n=96, num_sms=1),
    _SLABS,
  )
]

MUTATIONS = (
  Mutation(
    "scatter_rows_of_other_groups",
    _SCATTER,
    "row < end ? addresses[row]",
    "row < end + 1 ? addresses[row]",
    CASES[0],
  ),
  Mutation(
    "scatter_unwanted_rows",
    _SCATTER,
    "if (target == 0 || first >= pitch)",
    "if (first >= pitch)",
    CASES[0],
  ),
  Mutation(
    "scatter_columns_beyond",
    _SCATTER,
    "if (target == 0 || first >= pitch)",
    "if (target == 0)",
    CASES[0],
  ),
  Mutation(
    "scatter_boxes_of_whole_rows_alone",
    _BF16_STORE,
    "row_ + kSlab * 64 < end_",
    "row_ + kSlab * 64 + kStoreRows <= end_",
    ScatteredCase(_SLABS),
  ),
  Mutation(
    "scatter_slabs_to_the_first_one",
    _BF16_STORE,
    "targets_[kBox / Boxes::kCount]",
    "targets_[0]",
    ScatteredCase(_SLABS),
  ),
)


@pytest.mark.parametrize("case", CASES, ids=ScatteredCase.id)
def test_rows_are_where_they_belong(toolchain, case):
  assert_same_right_result(toolchain, case, num_seeds=3)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=8)
