"""No box of A reaches beyond its last row: TMA is slow at filling the rest."""

import dataclasses

import pytest

from tests.emulator import bf16_gemm_case, fp8_gemm_case
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
