"""BF16 GEMMs of groups of rows on a Hopper GPU."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.m_grouped_bf16_gemm import legal_grouped_configs
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_problem import (
  MGroupedBf16GemmProblem,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, sm90_m_grouped_bf16_gemm
from tests.gpu.gemm_data import poison_device_memory, row_error
from tests.gpu.m_grouped_bf16_data import operands, product
from tests.gpu.m_grouped_data import RowGroups, out_dtype
from tests.gpu.test_m_grouped_fp8_gemm import GROUPS

pytestmark = pytest.mark.gpu

_ERRORS = {False: 2.0**-8, True: 1e-5}  # Of a row; by float32_out.


def run(groups, arrays, *, float32_out=False, b_mn_major=False, **fields):
  """Returns D as 2-D array; `fields` are changed in the options."""
  function = jax.jit(
    lambda *args: sm90_m_grouped_bf16_gemm.run(
      *args,
      layout=groups.layout,
      alignment=groups.alignment,
      expected_m=None,
      zero_padding=True,
      out_dtype=out_dtype(float32_out),
      b_mn_major=b_mn_major,
      options=dataclasses.replace(Options(), **fields),
      device=H200,
    )
  )
  d = function(*(jnp.asarray(x) for x in arrays), jnp.asarray(groups.array()))
  return np.asarray(d).reshape(groups.num_rows, -1)


def check(groups, arrays, d, float32_out=False, **layout):
  expected, _ = product(groups, *arrays, **layout)
  assert row_error(d, expected) < _ERRORS[float32_out]
  assert not np.any(d[groups.ids() < 0])


@pytest.mark.parametrize("b_mn_major", [False, True], ids=["nt", "nn"])
@pytest.mark.parametrize("float32_out", [False, True])
@pytest.mark.parametrize("groups", GROUPS, ids=str)
@pytest.mark.parametrize("shape", [(520, 512), (1111, 300)])
def test_values(groups, shape, float32_out, b_mn_major):
  arrays = operands(groups, *shape, b_mn_major=b_mn_major)
  poison_device_memory()
  d = run(groups, arrays, float32_out=float32_out, b_mn_major=b_mn_major)
  check(groups, arrays, d, float32_out, b_mn_major=b_mn_major)


def _forms():
  """One configuration of each size of tile and kind of cluster."""
  forms = {}
  for b_mn_major in (False, True):
    problem = MGroupedBf16GemmProblem(
      1100, 1536, 640, 6, 1100, 128, b_mn_major=b_mn_major
    )
    for config in legal_grouped_configs(problem, H200):
      key = (config.block_m, config.block_n, config.cluster_m, config.cluster_n)
      if config.block_n >= 64:
        forms.setdefault((b_mn_major, *key), config)
  return list(forms.values())


@pytest.mark.parametrize(
  "config",
  _forms(),
  ids=lambda c: (
    f"n{'n' if c.b_mn_major else 't'}-{c.block_m}x{c.block_n}"
    f"-{c.cluster_m}-{c.cluster_n}"
  ),
)
def test_every_form_is_right_and_repeats_itself(config, monkeypatch):
  layout = {"b_mn_major": config.b_mn_major}
  groups = RowGroups("psum", (300, 0, 1, 257, 128, 64), 1100, 128)
  arrays = operands(groups, 1536, 640, **layout)
  monkeypatch.setattr(
    sm90_m_grouped_bf16_gemm, "choose_grouped", lambda *_, **__: config
  )
  first = run(groups, arrays, **layout)
  check(groups, arrays, first, **layout)
  again = run(groups, arrays, num_sms=20, **layout)
  np.testing.assert_array_equal(again, first)


def test_numbers_that_lie_touch_no_other_memory():
  groups = RowGroups("ragged", (100, 100), 200)
  arrays = operands(groups, 512, 512)
  for sizes in ((2**31 - 1, 5), (-7, 300), (150, 150), (-1, -1)):
    d = run(RowGroups("ragged", sizes, 200), arrays)
    ends = np.minimum(
      np.cumsum(np.clip(np.array(sizes, np.int64), 0, 200)), 200
    )
    right = RowGroups("ragged", tuple(np.diff(ends, prepend=0)), 200)
    expected, _ = product(right, *arrays)
    assert row_error(d, expected) < _ERRORS[False]


def _scattered(arrays, sizes, addresses):
  """Launches the product whose row r goes to addresses[r]."""
  a, b = arrays
  call = sm90_m_grouped_bf16_gemm.ragged_kernel_call(
    jax.ShapeDtypeStruct(a.shape, a.dtype),
    b.shape[1],
    len(b),
    100,
    H200,
    Options(),
    scatters_rows=True,
  )
  words = addresses.astype(np.uint64).view(np.uint32).reshape(-1, 2)
  operands = [jnp.asarray(x) for x in (a, b, sizes, words)]
  # A result that nothing writes: custom calls without one are left out.
  token = jax.ShapeDtypeStruct((1,), jnp.int32)
  launched = jax.jit(lambda *x: launch.call((call,), x, [token]))
  jax.block_until_ready(launched(*operands))


@pytest.mark.parametrize("index", range(4))
def test_rows_go_to_addresses_of_their_own(index, monkeypatch):
  """Some have none; those of no group have one that must not be used."""
  if index:
    forms = [c for c in _forms() if not c.b_mn_major and not c.float32_out]
    config = forms[index * (len(forms) - 1) // 3]
    config = dataclasses.replace(config, scatters_rows=True, num_stages=3)
    monkeypatch.setattr(
      sm90_m_grouped_bf16_gemm, "choose_grouped", lambda *_, **__: config
    )
  groups = RowGroups("ragged", (300, 0, 1, 257, 128, 64), 1100)
  n = 1048
  arrays = operands(groups, n, 640)
  random = np.random.default_rng(index)
  targets = random.permutation(groups.num_rows)
  wanted = random.random(groups.num_rows) < 0.8
  nan = np.full((groups.num_rows, n), np.nan, ml_dtypes.bfloat16)
  d = jnp.asarray(nan).block_until_ready()
  addresses = d.unsafe_buffer_pointer() + targets * n * 2
  _scattered(arrays, groups.array(), np.where(wanted, addresses, 0))
  found = np.asarray(d)[targets]
  expected, _ = product(groups, *arrays)
  sent = wanted & (groups.ids() >= 0)
  assert row_error(found[sent], expected[sent]) < _ERRORS[False]
  assert np.all(np.isnan(found[~sent].astype(np.float32)))
