"""The K-grouped BF16 kernel's results against float64, on a Hopper GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_k_grouped_bf16_gemm import (
  KGroupedBf16GemmProblem,
  legal_k_grouped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_k_grouped_bf16_gemm
from tests.gpu.gemm_data import poison_device_memory, row_error
from tests.k_grouped_bf16_data import expected, operand, starts_of
from tests.k_grouped_data import with_gaps

pytestmark = pytest.mark.gpu

BOUND = 1e-4  # Tensor cores do not round sums: up to 512 times 2^-24.
CASES = [
  (70, 150, (130, 0, 1, 128, 300)),
  (1, 1, (1, 2, 3)),
  (517, 713, (513, 0, 0, 129)),
  (1000, 264, (5, 4000, 0, 1, 64, 63)),
  (256, 512, (8192,)),
  (4096, 2048, (700, 0, 130, 257)),
  (136, 40, (3, 0, 140) * 30),
  (130, 130, (0,) * 1023 + (400,)),
  (300, 520, (0, 0, 0)),
  # Every stage of the ring is cut, over and over.
  (512, 768, (63, 1, 17) * 40),
]
by_case = pytest.mark.parametrize(("m", "n", "sizes"), CASES, ids=str)


def _operands(m, n, sizes, with_c):
  """Returns a, b, sizes and c; rows behind the last group are NaN."""
  a = operand(m, sizes, spare=37, seed=1)
  b = operand(n, sizes, spare=37, seed=2)
  shape = (len(sizes), m, n)
  c = np.random.default_rng(3).standard_normal(shape).astype(np.float32) * 1e2
  return a, b, jnp.asarray(sizes, jnp.int32), c if with_c else None


def _expected(a, b, sizes, c):
  return expected(a, b, tuple(map(int, sizes)), c)[0]


def _compute(*operands, f=jd.k_grouped_bf16_gemm_tn_contiguous, **kwargs):
  with jd.options(implementation="kernel", **kwargs):
    return np.asarray(jax.jit(f)(*operands))


@by_case
@pytest.mark.parametrize("with_c", [False, True])
def test_result_is_the_product_of_each_group(m, n, sizes, with_c):
  operands = _operands(m, n, sizes, with_c)
  poison_device_memory()
  assert row_error(_compute(*operands), _expected(*operands)) < BOUND


@by_case
def test_runs_agree_bit_by_bit(m, n, sizes):
  operands = _operands(m, n, sizes, True)
  first = _compute(*operands)
  for kwargs in ({}, {"pdl": True}, {}):
    again = _compute(*operands, **kwargs)
    np.testing.assert_array_equal(again.view(np.uint32), first.view(np.uint32))
  # Another count of SMs may cut groups into other parts.
  assert row_error(_compute(*operands, num_sms=20), first) < BOUND


@by_case
def test_k_last_gives_the_same(m, n, sizes):
  a, b, sizes, c = _operands(m, n, sizes, True)
  transposed = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
  np.testing.assert_array_equal(
    _compute(*transposed, sizes, c, f=jd.k_grouped_bf16_gemm_nt_contiguous),
    _compute(a, b, sizes, c),
  )


def test_rows_between_groups_may_hold_anything():
  sizes = (130, 0, 1, 128, 300)
  a, b, _, c = _operands(200, 300, sizes, True)
  spread_a, ends, _ = with_gaps(a, sizes)
  spread_b, _, _ = with_gaps(b, sizes)
  f = functools.partial(
    jd.k_grouped_bf16_gemm_tn_contiguous, use_psum_layout=True
  )
  d = _compute(spread_a, spread_b, jnp.asarray(ends), c, f=f)
  assert row_error(d, expected(a, b, sizes, c)[0]) < BOUND


@pytest.mark.parametrize("stray", [np.nan, np.inf])
def test_no_group_sees_its_neighbours(stray):
  sizes = (100, 70, 90)
  a, b, _, _ = _operands(256, 384, sizes, False)
  a, b = a.copy(), b.copy()
  a[100:170, ::2] = stray
  b[100:170] = stray
  d = _compute(a, b, jnp.asarray(sizes, jnp.int32))
  with np.errstate(invalid="ignore"):  # The group of strays, times each other.
    exact, _ = expected(a, b, sizes)
  assert not np.isfinite(d[1]).any()
  for group in (0, 2):
    assert row_error(d[group], exact[group]) < BOUND


def test_a_donated_c_is_added_to_in_place():
  a, b, sizes, c = _operands(4096, 2048, (700, 0, 130, 257), True)
  exact = _expected(a, b, sizes, c)
  c = jnp.asarray(c)
  address = c.unsafe_buffer_pointer()
  f = jax.jit(jd.k_grouped_bf16_gemm_tn_contiguous, donate_argnums=3)
  with jd.options(implementation="kernel"):
    d = f(a, b, sizes, c)
  assert d.unsafe_buffer_pointer() == address
  assert row_error(d, exact) < BOUND


def test_a_c_that_is_not_donated_stays():
  a, b, sizes, c = _operands(4096, 2048, (700, 0, 130, 257), True)
  on_device = jnp.asarray(c)
  _compute(a, b, sizes, on_device)
  np.testing.assert_array_equal(on_device, c)


def test_sizes_that_exceed_the_arrays_do_no_harm():
  a, b, _, c = _operands(200, 300, (300, 100), True)
  for claimed in ((2**31 - 1, 2**31 - 1), (-7, 10**6), (0, -(2**31))):
    _compute(a, b, jnp.asarray(claimed, jnp.int32), c)
  operands = _operands(200, 300, (300, 100), True)
  assert row_error(_compute(*operands), _expected(*operands)) < BOUND


def _sampled(float32_out):
  """A config of each form of tile, that adds to c if in float32."""
  sizes = (1000, 0, 129, 700)
  problem = KGroupedBf16GemmProblem(
    800, 712, sum(sizes) + 37, 4, float32_out, float32_out
  )
  forms = {}
  for config in sorted(legal_k_grouped_configs(problem, H200), key=str):
    gemm = config.gemm
    key = (gemm.num_math_warpgroups, gemm.num_slabs, gemm.block_n)
    key += (gemm.cluster_m, gemm.cluster_n, config.num_parts)
    if config.num_parts in (1, 4):
      forms[key] = config
  return sizes, list(forms.values())[::2]


@pytest.mark.parametrize("out_dtype", [jnp.float32, jnp.bfloat16])
def test_every_form_of_tile_is_right(monkeypatch, out_dtype):
  float32_out = out_dtype == jnp.float32
  bound = BOUND if float32_out else 2.0**-8
  sizes, configs = _sampled(float32_out)
  a, b, _, c = _operands(800, 712, sizes, float32_out)
  exact = expected(a, b, sizes, c)[0]
  starts = jnp.asarray(starts_of(sizes), jnp.int32)
  assert len(configs) > 10
  wrong = []
  for config in configs:
    monkeypatch.setattr(
      sm90_k_grouped_bf16_gemm, "choose", functools.partial(_always, config)
    )
    run = functools.partial(
      sm90_k_grouped_bf16_gemm.run,
      out_dtype=np.dtype(out_dtype),
      options=Options(),
      device=H200,
    )
    d = jax.jit(run)(a, b, starts, jnp.asarray(sizes, jnp.int32), c)
    assert d.dtype == out_dtype
    if not row_error(d, exact) < bound:
      wrong.append((row_error(d, exact), config))
  assert not wrong


def _always(config, *args, **kwargs):
  del args, kwargs
  return config


def test_the_gradient_of_grouped_weights_uses_it():
  random = np.random.default_rng(7)
  sizes = np.array([130, 0, 61, 200], np.int32)
  x = jnp.asarray(random.standard_normal((400, 256)), jnp.bfloat16)
  w = jnp.asarray(random.standard_normal((4, 384, 256)), jnp.bfloat16)
  dy = jnp.asarray(random.standard_normal((400, 384)), jnp.bfloat16)

  def loss(w):
    y = jd.m_grouped_bf16_gemm_nt_ragged(x, w, sizes, out_dtype=jnp.float32)
    return (y * dy.astype(jnp.float32)).sum()

  with jd.options(implementation="kernel"):
    found = np.asarray(jax.jit(jax.grad(loss))(w))
  rows = [np.asarray(v)[: sizes.sum()] for v in (dy, x)]
  exact, _ = expected(*rows, tuple(sizes))
  assert row_error(found, exact) < 2.0**-8
