"""Groups of rows with FP4 weights on a GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_m_grouped_fp8_fp4_gemm
from tests.gpu.fp4_data import EXACT, WIDE
from tests.gpu.gemm_data import poison_device_memory, row_error
from tests.gpu.m_grouped_data import RowGroups
from tests.gpu.m_grouped_fp4_data import operands, product

pytestmark = pytest.mark.gpu

GROUPS = [
  RowGroups("masked", (0, 64, 5, 190), 200),
  RowGroups("ragged", (3, 0, 700, 1, 170), 900),
  RowGroups("psum", (130, 60, 200), 520, 64),
]


@pytest.mark.parametrize("groups", GROUPS, ids=lambda g: g.layout)
@pytest.mark.parametrize("exponents", [EXACT, WIDE], ids=str)
def test_rows_are_those_of_their_groups(groups, exponents):
  arrays = operands(groups, 1000, 672, exponents)
  expected, _ = product(groups, *arrays)
  run = functools.partial(
    sm90_m_grouped_fp8_fp4_gemm.run,
    layout=groups.layout,
    alignment=groups.alignment,
    expected_m=None,
    zero_padding=True,
    out_dtype=np.dtype(jnp.bfloat16),
    options=Options(),
    device=H200,
  )
  poison_device_memory(1)
  function = jax.jit(run)
  arguments = [jnp.asarray(x) for x in (*arrays, groups.array())]
  actual = np.asarray(function(*arguments)).reshape(expected.shape)
  assert row_error(actual, expected) < 1e-2
  again = np.asarray(function(*arguments)).reshape(expected.shape)
  np.testing.assert_array_equal(again, actual)
