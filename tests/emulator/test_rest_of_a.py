"""No box of A reaches beyond its last row: TMA is slow at filling the rest."""

import dataclasses

import pytest

from tests.emulator import (
  bf16_gemm_case,
  bf16_swapped_cases,
  fp8_gemm_case,
  swapped_cases,
)
from tests.emulator.fp4_gemm_case import fp4_case
from tests.emulator.mutated import MutatedLaunches, verdict

_A, _A_REST = 0, 1  # Buffer and parameter of the dense kernels.

# One row beyond tiles of 64, in whole K blocks and where K ends.
_TILES = {"num_math_warpgroups": 1, "num_slabs": 1}
_BLOCKS = {"block_n": 32, "stage_k_blocks": 2, **_TILES}
CASES = [
  fp8_gemm_case.case(129, 40, 333, cluster_n=2, **_BLOCKS),
  bf16_gemm_case.case("nt", 129, 40, 200, groups=2, **_BLOCKS),
  fp4_case(129, 40, 256, block_n=64, cluster_m=2, **_TILES),
]

# Fewer rows than the tensor cores multiply, in stages of a K block and of more.
FEW_ROWS = [
  swapped_cases.swapped(5, 40, 300, stage_k_blocks=1, num_splits=1),
  swapped_cases.swapped(9, 40, 333, stage_k_blocks=2, num_splits=1),
  bf16_swapped_cases.swapped("nt", 1, 40, 150, stage_k_blocks=1, num_splits=1),
  bf16_swapped_cases.swapped("nn", 129, 40, 200, groups=2, stage_k_blocks=2),
  fp4_case(5, 40, 300, swapped=True, stage_k_blocks=1, num_splits=1),
  fp4_case(9, 40, 288, swapped=True, stage_k_blocks=2, num_splits=1),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id())
def test_maps_of_whole_tiles_need_no_other_rows(toolchain, case):
  def without_the_last_row(kernel):
    params = list(kernel.params)
    for i, param in enumerate(params):
      if i != _A_REST and hasattr(param, "box") and param.index == _A:
        assert param.dims[1] == 129
        dims = (param.dims[0], 128, *param.dims[2:])
        params[i] = dataclasses.replace(param, dims=dims)
    assert params[_A_REST].box[1] == 1
    return dataclasses.replace(kernel, params=tuple(params))

  emulator = MutatedLaunches(toolchain, without_the_last_row)
  assert verdict(case, emulator, 0) is None


@pytest.mark.parametrize("case", FEW_ROWS, ids=lambda case: case.id())
def test_few_rows_come_in_boxes_of_as_many(toolchain, case):
  assert case.problem.m < case.config().block_m

  def with_its_boxes_checked(kernel):
    maps = [p for p in kernel.params if hasattr(p, "box") and p.index == _A]
    assert [found.box[1] for found in maps] == [case.problem.m] * 2
    return kernel

  emulator = MutatedLaunches(toolchain, with_its_boxes_checked)
  assert verdict(case, emulator, 0) is None
