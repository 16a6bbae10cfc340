"""The K-grouped kernel's results against float64, on a Hopper GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  KGroupedFp8GemmProblem,
  legal_k_grouped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_k_grouped_fp8_gemm
from tests.gpu.gemm_data import on_the_cpu, poison_device_memory, row_error
from tests.k_grouped_data import (
  blocks_of,
  dense_groups,
  dequantised,
  packed_operand,
  product,
  quantised,
)

pytestmark = pytest.mark.gpu

# What FP8 tensor cores leave of float32, see docs/performance.md.
BOUND = 5e-4
CASES = [
  (70, 150, (130, 0, 1, 128, 300)),
  (1, 1, (1, 2, 3)),
  (517, 713, (513, 0, 0, 129)),
  (1000, 264, (5, 4000, 0, 1, 128, 127)),
  (256, 512, (8192,)),
  (4096, 2048, (700, 0, 130, 257)),
  (136, 40, (3, 0, 140) * 30),
  (130, 130, (0,) * 1023 + (400,)),
  (300, 520, (0, 0, 0)),
]
by_case = pytest.mark.parametrize(("m", "n", "sizes"), CASES, ids=str)


def _operands(m, n, sizes, with_c):
  sum_k = sum(sizes) + 37
  a, b = quantised(m, sizes, sum_k, 1), quantised(n, sizes, sum_k, 2)
  shape = (len(sizes), m, n)
  c = np.random.default_rng(3).standard_normal(shape).astype(np.float32) * 1e4
  return a, b, jnp.asarray(sizes, jnp.int32), c if with_c else None


def _expected(a, b, sizes, c):
  sizes = tuple(map(int, sizes))
  groups = [[x.T for x in dequantised(*pair, sizes)] for pair in (a, b)]
  return product(*groups, c)[0]


def _compute(*operands, **kwargs):
  with jd.options(implementation="kernel", **kwargs):
    return np.asarray(jax.jit(jd.k_grouped_fp8_gemm_tn_contiguous)(*operands))


@by_case
@pytest.mark.parametrize("with_c", [False, True])
def test_result_is_the_product_of_each_group(m, n, sizes, with_c):
  operands = _operands(m, n, sizes, with_c)
  poison_device_memory()
  assert row_error(_compute(*operands), _expected(*operands)) < BOUND


@by_case
def test_runs_agree_bit_by_bit(m, n, sizes):
  operands = _operands(m, n, sizes, True)
  first = _compute(*operands).view(np.uint32)
  for kwargs in ({}, {"pdl": True}, {"num_sms": 20}):
    again = _compute(*operands, **kwargs).view(np.uint32)
    if "num_sms" in kwargs and not np.array_equal(again, first):
      # Another count of SMs may cut groups into other parts.
      assert row_error(again.view(np.float32), first.view(np.float32)) < 1e-6
    else:
      np.testing.assert_array_equal(again, first)


def test_a_donated_c_is_added_to_in_place():
  a, b, sizes, c = _operands(4096, 2048, (700, 0, 130, 257), True)
  expected = _expected(a, b, sizes, c)
  c = jnp.asarray(c)
  address = c.unsafe_buffer_pointer()
  f = jax.jit(jd.k_grouped_fp8_gemm_tn_contiguous, donate_argnums=3)
  with jd.options(implementation="kernel"):
    d = f(a, b, sizes, c)
  assert d.unsafe_buffer_pointer() == address
  assert row_error(d, expected) < BOUND


def test_a_c_that_is_not_donated_stays():
  a, b, sizes, c = _operands(4096, 2048, (700, 0, 130, 257), True)
  on_device = jnp.asarray(c)
  _compute(a, b, sizes, on_device)
  np.testing.assert_array_equal(on_device, c)


def test_sizes_that_exceed_the_arrays_do_no_harm():
  a, b, _, c = _operands(200, 300, (300, 100), True)
  for claimed in ((2**31 - 1, 2**31 - 1), (-7, 10**6), (0, -(2**31))):
    sizes = jnp.asarray(claimed, jnp.int32)
    _compute(a, b, sizes, c)
  operands = _operands(200, 300, (300, 100), True)
  assert row_error(_compute(*operands), _expected(*operands)) < BOUND


def _sampled(float32_out):
  """A config of each form of tile, that adds to c if in float32."""
  problem = KGroupedFp8GemmProblem(800, 712, 20, 4, float32_out, float32_out)
  forms = {}
  for config in sorted(legal_k_grouped_configs(problem, H200), key=str):
    gemm = config.gemm
    key = (gemm.num_math_warpgroups, gemm.num_slabs, gemm.block_n)
    key += (gemm.cluster_size, config.num_parts)
    if gemm.block_n in (32, 96, 128, 160) and config.num_parts in (1, 4):
      forms[key] = config
  return problem, list(forms.values())[::3]


@pytest.mark.parametrize("out_dtype", [jnp.float32, jnp.bfloat16])
def test_every_form_of_tile_is_right(monkeypatch, out_dtype):
  float32_out = out_dtype == jnp.float32
  bound = BOUND if float32_out else 2.0**-8
  problem, configs = _sampled(float32_out)
  sizes = (1000, 0, 129, 700)
  blocks = problem.num_k_blocks
  assert sum(map(blocks_of, sizes)) <= blocks
  a, b = (packed_operand(x, sizes, blocks, x) for x in (problem.m, problem.n))
  shape = (4, problem.m, problem.n)
  c = np.random.default_rng(0).standard_normal(shape).astype(np.float32) * 1e3
  c = c if float32_out else None
  expected, _ = product(dense_groups(*a, sizes), dense_groups(*b, sizes), c)
  wrong = []
  for config in configs:
    monkeypatch.setattr(
      sm90_k_grouped_fp8_gemm, "choose", functools.partial(_always, config)
    )
    run = functools.partial(
      sm90_k_grouped_fp8_gemm.run,
      out_dtype=np.dtype(out_dtype),
      options=Options(),
      device=H200,
    )
    d = jax.jit(run)(*a, *b, jnp.asarray(sizes, jnp.int32), c)
    assert d.dtype == out_dtype
    if not row_error(d, expected) < bound:
      wrong.append((row_error(d, expected), config))
  assert not wrong


def _always(config, *args, **kwargs):
  del args, kwargs
  return config


def test_the_kernel_agrees_with_the_reference():
  random = np.random.default_rng(7)
  bfloat16 = np.dtype(jnp.bfloat16)
  plain = [
    random.standard_normal((2000, rows)).astype(bfloat16) for rows in (512, 768)
  ]
  sizes = np.array([900, 0, 1, 1000], np.int32)
  # On the CPU: XLA divides by scales in another way on a GPU, and a row of one
  # token shows every code that is rounded to its neighbour.
  with (
    on_the_cpu(),
    jd.options(implementation="reference"),
  ):
    expected = jax.jit(jd.k_grouped_fp8_gemm_tn_contiguous)(
      *map(jnp.asarray, plain), jnp.asarray(sizes)
    )
  result = _compute(*map(jnp.asarray, plain), jnp.asarray(sizes))
  assert row_error(result, np.asarray(expected)) < BOUND
