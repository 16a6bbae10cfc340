"""FP8 GEMMs of groups of rows on a Hopper GPU."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.heuristics import m_grouped_fp8_gemm
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_m_grouped_fp8_gemm
from tests.gpu.gemm_data import poison_device_memory, row_error
from tests.gpu.m_grouped_data import RowGroups, operands, out_dtype, product

pytestmark = pytest.mark.gpu

_ERRORS = {False: 2.0**-8, True: 5e-4}  # Of a row; by float32_out.

GROUPS = (
  RowGroups("ragged", (300, 0, 1, 517, 64, 129), 1100),
  RowGroups("ragged", (5, 3, 0, 60) * 30, 2100),
  RowGroups("ragged", (2000,), 2000),
  RowGroups("ragged", (0, 0, 0), 200),
  RowGroups("psum", (300, 0, 257, 128), 1000, 128),
  RowGroups("index", (300, 0, 257, 128), 1000, 128),
  RowGroups("masked", (0, 193, 20, 400), 400),
)


def run(groups, arrays, *, float32_out=False, **fields):
  """Returns D as 2-D array; `fields` are changed in the options."""
  function = jax.jit(
    lambda *args: sm90_m_grouped_fp8_gemm.run(
      *args,
      layout=groups.layout,
      alignment=groups.alignment,
      expected_m=None,
      zero_padding=True,
      out_dtype=out_dtype(float32_out),
      recipe_a=(1, 128),
      recipe_b=(128, 128),
      options=dataclasses.replace(Options(), **fields),
      device=H200,
    )
  )
  d = function(*(jnp.asarray(x) for x in arrays), jnp.asarray(groups.array()))
  return np.asarray(d).reshape(groups.num_rows, -1)


def check(groups, arrays, d, float32_out=False):
  expected, _ = product(groups, *arrays)
  assert row_error(d, expected) < _ERRORS[float32_out]
  assert not np.any(d[groups.ids() < 0])


@pytest.mark.parametrize("float32_out", [False, True])
@pytest.mark.parametrize("groups", GROUPS, ids=str)
@pytest.mark.parametrize("shape", [(520, 512), (1111, 300)])
def test_values(groups, shape, float32_out):
  arrays = operands(groups, *shape)
  poison_device_memory()
  d = run(groups, arrays, float32_out=float32_out)
  check(groups, arrays, d, float32_out)


def _forms():
  """One configuration of each size of tile and kind of cluster."""
  problem = m_grouped_fp8_gemm.MGroupedFp8GemmProblem(
    1100, 1536, 640, 6, 1100, 128
  )
  forms = {}
  for config in m_grouped_fp8_gemm.legal_grouped_configs(problem, H200):
    key = (config.block_m, config.block_n, config.cluster_m, config.cluster_n)
    if config.block_n >= 64:
      forms.setdefault(key, config)
  return list(forms.values())


@pytest.mark.parametrize(
  "config",
  _forms(),
  ids=lambda c: f"{c.block_m}x{c.block_n}-{c.cluster_m}-{c.cluster_n}",
)
def test_every_form_gives_the_same_bits(config, monkeypatch):
  groups = RowGroups("psum", (300, 0, 1, 257, 128, 64), 1100, 128)
  arrays = operands(groups, 1536, 640)
  monkeypatch.setattr(
    sm90_m_grouped_fp8_gemm, "choose_grouped", lambda *_, **__: config
  )
  first = run(groups, arrays)
  check(groups, arrays, first)
  np.testing.assert_array_equal(run(groups, arrays, num_sms=20), first)


def test_numbers_that_lie_touch_no_other_memory():
  groups = RowGroups("ragged", (100, 100), 200)
  arrays = operands(groups, 512, 512)
  for sizes in ((2**31 - 1, 5), (-7, 300), (150, 150), (-1, -1)):
    lying = RowGroups("ragged", sizes, 200)
    d = run(lying, arrays)
    sizes = np.clip(np.array(sizes, np.int64), 0, 200)
    ends = np.minimum(np.cumsum(sizes), 200)
    right = RowGroups("ragged", tuple(np.diff(ends, prepend=0)), 200)
    expected, _ = product(right, *arrays)
    assert row_error(d, expected) < _ERRORS[False]
