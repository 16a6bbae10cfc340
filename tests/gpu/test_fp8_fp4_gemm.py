"""FP8 times FP4 on a GPU: values, bits, order of sums."""

import functools
import random

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.fp8_fp4_gemm import legal_configs
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import Fp8Fp4GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  kernel_library,
  sm90_fp8_fp4_gemm,
  sm90_fp8_fp4_gemm_swapped,
)
from tests.gpu.fp4_data import (
  EXACT,
  NARROW,
  WIDE,
  fp4_operands,
  fp4_product,
  pack_exponents,
)
from tests.gpu.gemm_data import poison_device_memory, row_error

pytestmark = pytest.mark.gpu

SHAPES = [
  (1, 128, 128),
  (3, 72, 256),
  (7, 130, 160),
  (64, 16, 2048),
  (129, 257, 640),
  (577, 1000, 288),
  (1000, 576, 1111),
  # K ends within a block that is loaded with others.
  (1, 1000, 7152),
]
FLOAT32_BOUND = 5e-4
BFLOAT16_BOUND = 1e-2
SUM_BOUND = 2e-3  # Of the sum of magnitudes; FP8 tensor cores keep 14 bits.
NUM_REPEATS = 20
NUM_CONFIGS = 16


def _compute(a, b, c=None, **kwargs):
  with jd.options(implementation="kernel"):
    function = jax.jit(lambda a, b, c: jd.fp8_fp4_gemm_nt(a, b, c, **kwargs))
    return function(a, b, c)


def _recipe(config):
  swapped = isinstance(config, Sm90Fp8Fp4GemmSwappedConfig)
  module = sm90_fp8_fp4_gemm_swapped if swapped else sm90_fp8_fp4_gemm
  return module.recipe(config)


def _given(config, *_, **__):
  return config


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("exponents", [NARROW, EXACT, WIDE], ids=str)
@pytest.mark.parametrize("out_dtype", [jnp.bfloat16, jnp.float32])
def test_result_is_the_dequantized_product(shape, exponents, out_dtype):
  m, n, k = shape
  k += k % 2  # The public function takes whole bytes.
  a, b = fp4_operands(m, n, k, exponents=exponents)
  c = None
  if n % 3 == 0:
    c = jnp.full((m, n), 1e3, out_dtype)
  expected = fp4_product(a, b, c)
  poison_device_memory(1)
  actual = _compute(a, b, c, out_dtype=out_dtype)
  # Element by element: with wide exponents none may hide behind others.
  rounding = 0 if out_dtype == jnp.float32 else 2.0**-8
  bound = SUM_BOUND * fp4_product(a, b, c, size=True)
  bound += rounding * np.abs(expected)
  error = np.abs(np.asarray(actual).astype(np.float64) - expected)
  assert np.all(error <= bound)


@pytest.mark.parametrize("m", [1, 40, 200, 5000])
@pytest.mark.parametrize("form", [(False, False), (True, True)], ids=str)
def test_sampled_configurations_are_right(monkeypatch, m, form):
  float32_out, with_c = form
  problem = Fp8Fp4GemmProblem(m, 400, 672, 1, float32_out, with_c)
  a, b = fp4_operands(m, 400, 672, groups=1, exponents=EXACT)
  dtype = np.dtype(np.float32 if float32_out else jnp.bfloat16)
  c = jnp.ones((1, m, 400), dtype) if with_c else None
  expected = fp4_product(a, b, c)
  configs = sorted(legal_configs(problem, H200), key=str)
  configs = random.Random(m).sample(configs, min(NUM_CONFIGS, len(configs)))
  for config in configs:
    kernel_library.library().prefetch(_recipe(config))
  bound = FLOAT32_BOUND if float32_out else BFLOAT16_BOUND
  wrong = []
  for config in configs:
    choice = functools.partial(_given, config)
    monkeypatch.setattr(sm90_fp8_fp4_gemm, "choose", choice)
    run = functools.partial(
      sm90_fp8_fp4_gemm.run, out_dtype=dtype, options=Options(), device=H200
    )
    error = row_error(jax.jit(run)(*map(jnp.asarray, (*a, *b)), c), expected)
    if not error < bound:
      wrong.append((error, config))
  assert not wrong


@pytest.mark.parametrize("m", [1, 9, 65])
@pytest.mark.parametrize("k", [512, 1056])
def test_what_a_stage_held_before_does_not_matter(monkeypatch, m, k):
  """Rows of A that are not there are not loaded: here they are NaN."""
  n = 132 * 64  # Every multiprocessor has a tile.
  a, b = fp4_operands(m, n, k, groups=1, exponents=EXACT)
  expected = fp4_product(a, b)
  a, b = jax.device_put((a, b))
  problem = Fp8Fp4GemmProblem(m, n, k)
  configs = sorted(legal_swapped_configs(problem, H200), key=str)
  for config in random.Random(m).sample(configs, 4):
    choice = functools.partial(_given, config)
    monkeypatch.setattr(sm90_fp8_fp4_gemm, "choose", choice)
    run = jax.jit(
      functools.partial(
        sm90_fp8_fp4_gemm.run,
        out_dtype=np.dtype(jnp.bfloat16),
        options=Options(),
        device=H200,
      )
    )
    nan = jnp.full((1, config.block_m, k), jnp.nan, jnp.float8_e4m3fn)
    scales = jnp.ones((1, config.block_m, a[1].shape[-1]), jnp.float32)
    before = np.asarray(run(nan, scales, *b, None)).astype(np.float32)
    assert np.isnan(before).all()
    assert row_error(run(*a, *b, None), expected) < BFLOAT16_BOUND


@pytest.mark.parametrize("m", [1, 64, 300])
def test_sums_that_are_exact_are_exact_to_the_bit(m):
  """Small integers: no product and no sum needs more than 14 bits."""
  random = np.random.default_rng(0)
  n, k = 264, 512
  values = random.integers(-2, 3, (m, k)).astype(ml_dtypes.float8_e4m3fn)
  scales = np.exp2(random.integers(-3, 4, (m, 4))).astype(np.float32)
  codes = random.choice([0, 2, 4, 10, 12], (n, k)).astype(np.uint8)
  packed = (codes[:, ::2] | codes[:, 1::2] << 4).view(np.int8)
  exponents = random.integers(126, 129, (n, k // 32))
  a, b = (values, scales), (packed, pack_exponents(exponents))
  actual = _compute(a, b, out_dtype=jnp.float32)
  np.testing.assert_array_equal(np.asarray(actual), fp4_product(a, b))


@pytest.mark.parametrize("m", [3, 70])
def test_a_group_without_a_scale_makes_its_column_nan_and_no_other(m):
  a, (b, sfb) = fp4_operands(m, 200, 512)
  exponents = sfb.view(np.uint8).copy()
  exponents[3, 5] = exponents[150, 0] = 255
  b[3], b[7] = 0, 0  # Codes say nothing of it.
  b = (b, exponents.view("<i4"))
  expected = fp4_product(a, b)
  actual = np.asarray(_compute(a, b, out_dtype=jnp.float32))
  is_nan = np.isnan(expected)
  assert is_nan[:, [3, 150]].all()
  assert is_nan.sum() == 2 * m
  np.testing.assert_array_equal(np.isnan(actual), is_nan)
  columns = ~is_nan[0]
  error = row_error(actual[:, columns], expected[:, columns])
  assert error < FLOAT32_BOUND


@pytest.mark.parametrize("exponents", [NARROW, WIDE], ids=str)
@pytest.mark.parametrize("m", [1, 32, 4096])
def test_repeats_have_the_same_bits(m, exponents):
  a, b = jax.device_put(fp4_operands(m, 2112, 2048, exponents=exponents))
  with jd.options(implementation="kernel"):
    function = jax.jit(jd.fp8_fp4_gemm_nt)
    first = np.asarray(function(a, b)).view(np.uint16)
    poison_device_memory(1)
    for _ in range(NUM_REPEATS):
      again = np.asarray(function(a, b)).view(np.uint16)
      np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("groups", [2, 5])
def test_a_batch_is_one_launch_with_every_product_right(groups):
  a, b = fp4_operands(150, 200, 384, groups=groups)
  poison_device_memory(1)
  with jd.options(implementation="kernel"):
    actual = jax.jit(jax.vmap(jd.fp8_fp4_gemm_nt))(a, b)
  assert row_error(actual, fp4_product(a, b)) < BFLOAT16_BOUND
