"""The FP8 GEMM with swapped operands on a GPU: values, order of sums, PDL."""

import functools
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem, legal_configs
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  kernel_library,
  sm90_fp8_gemm,
  sm90_fp8_gemm_swapped,
)
from tests.gpu.gemm_data import (
  poison_device_memory,
  product,
  row_error,
  scaled_operands,
)

pytestmark = pytest.mark.gpu

NUM_CONFIGS = 10
NUM_REPEATS = 30
FLOAT32_BOUND = 5e-4
BFLOAT16_BOUND = 1e-2


def _sample(problem, count=NUM_CONFIGS, **wanted):
  configs = [
    config
    for config in sorted(legal_swapped_configs(problem, H200), key=str)
    if all(getattr(config, name) == wanted[name] for name in wanted)
  ]
  return random.Random(problem.m).sample(configs, min(count, len(configs)))


def _prefetch(configs):
  for config in configs:
    swapped = isinstance(config, Sm90Fp8GemmSwappedConfig)
    module = sm90_fp8_gemm_swapped if swapped else sm90_fp8_gemm
    kernel_library.library().prefetch(module.recipe(config))


@pytest.fixture
def compute(monkeypatch):
  """Returns D of a problem by one configuration, `[groups, m, n]`."""

  def compute(problem, config, operands, c=None, options=None):
    monkeypatch.setattr(sm90_fp8_gemm, "choose", lambda *_, **__: config)
    dtype = np.float32 if problem.float32_out else jnp.bfloat16
    run = functools.partial(
      sm90_fp8_gemm.run,
      out_dtype=np.dtype(dtype),
      recipe_a=(1, 128),
      recipe_b=(1 if problem.sfb_per_row else 128, 128),
      options=options or Options(),
      device=H200,
    )
    return jax.jit(run)(*operands, c)

  return compute


@pytest.mark.parametrize(
  ("m", "n", "k", "kwargs"),
  [
    (1, 2112, 7168, {}),
    (5, 1000, 272, {"float32_out": True, "with_c": True}),
    (16, 576, 7168, {"sfb_per_row": True}),
    (20, 130, 1024, {"float32_out": True}),
    (32, 4096, 2048, {"with_c": True}),
    (40, 202, 1111, {"sfb_per_row": True, "float32_out": True}),
    (64, 1032, 1024, {"num_groups": 3}),
    (90, 712, 4096, {}),
    (128, 2112, 7168, {"with_c": True}),
  ],
)
def test_sampled_configurations_are_right(compute, m, n, k, kwargs):
  problem = Fp8GemmProblem(m, n, k, **kwargs)
  a, b = scaled_operands(
    m, n, k, groups=problem.num_groups, sfb_per_row=problem.sfb_per_row
  )
  dtype = jnp.float32 if problem.float32_out else jnp.bfloat16
  shape = (problem.num_groups, m, n)
  c = jnp.ones(shape, dtype) if problem.with_c else None
  expected = product(a, b, c)
  operands = [jnp.asarray(x) for x in (*a, *b)]
  bound = FLOAT32_BOUND if problem.float32_out else BFLOAT16_BOUND
  configs = _sample(problem)
  _prefetch(configs)
  wrong = []
  for config in configs:
    poison_device_memory(1)
    error = row_error(compute(problem, config, operands, c), expected)
    if not error < bound:
      wrong.append((error, config))
  assert not wrong


@pytest.mark.parametrize("m", [1, 9, 65])
@pytest.mark.parametrize("k", [1024, 2000])
def test_what_a_stage_held_before_does_not_matter(compute, m, k):
  """Rows of A that are not there are not loaded: here they are NaN."""
  n = 132 * 64  # Every multiprocessor has a tile.
  problem = Fp8GemmProblem(m, n, k)
  a, b = scaled_operands(m, n, k, groups=1)
  expected = product(a, b)
  a, b = jax.device_put((a, b))
  configs = _sample(problem, 4)
  _prefetch(configs)
  for config in configs:
    rows = config.block_m
    nan = jnp.full((1, rows, k), jnp.nan, jnp.float8_e4m3fn)
    scales = jnp.ones((1, rows, a[1].shape[-1]), jnp.float32)
    before = compute(problem, config, (nan, scales, *b))
    assert np.isnan(np.asarray(before).astype(np.float32)).all()
    result = compute(problem, config, (*a, *b))
    assert row_error(result, expected) < BFLOAT16_BOUND


@pytest.mark.parametrize("num_splits", [2, 4, 8])
def test_splits_are_summed_in_the_same_order_each_time(compute, num_splits):
  problem = Fp8GemmProblem(24, 2112, 7168, float32_out=True)
  operands = [
    jnp.asarray(x)[None]
    for pair in scaled_operands(24, 2112, 7168)
    for x in pair
  ]
  configs = _sample(problem, 3, num_splits=num_splits)
  assert configs
  _prefetch(configs)
  for config in configs:
    first = np.asarray(compute(problem, config, operands))
    for _ in range(NUM_REPEATS):
      again = np.asarray(compute(problem, config, operands))
      np.testing.assert_array_equal(again, first)


def test_an_unsplit_sum_is_that_of_the_kernel_for_many_rows(compute):
  """The tensor cores add alike whichever operand has the rows."""
  a, b = scaled_operands(128, 1032, 7168)
  sample = random.Random(0).sample
  for m in (1, 17, 64, 128):
    problem = Fp8GemmProblem(m, 1032, 7168, float32_out=True)
    operands = [jnp.asarray(x)[None] for x in (a[0][:m], a[1][:m], *b)]
    others = sample(sorted(legal_configs(problem, H200), key=str), 2)
    configs = [*others, *_sample(problem, 4, num_splits=1)]
    _prefetch(configs)
    first, *rest = (
      np.asarray(compute(problem, config, operands)) for config in configs
    )
    for other in rest:
      np.testing.assert_array_equal(other, first)


@pytest.mark.parametrize("weight", [(2112, 7168), (7168, 2048), (576, 7168)])
def test_rows_do_not_depend_on_the_batch_when_asked(weight):
  n, k = weight
  (a, sfa), b = scaled_operands(4096, n, k)
  with jd.options(implementation="kernel", batch_invariant=True):
    gemm = jax.jit(jd.fp8_gemm_nt)
    everything = np.asarray(gemm((a, sfa), b)).view(np.uint16)
    for rows in (1, 7, 64, 128, 300):
      part = slice(100, 100 + rows)
      few = np.asarray(gemm((a[part], sfa[part]), b)).view(np.uint16)
      np.testing.assert_array_equal(few, everything[part])


def _layers(x, weights):
  for weight in weights:
    # Cast here, so that the kernel before writes what this one reads.
    y = jd.fp8_gemm_nt(
      jd.per_token_cast_to_fp8(x), jd.per_block_cast_to_fp8(weight)
    )
    x = y / jnp.maximum(jnp.max(jnp.abs(y)), 1)
  return x


def test_kernels_that_overlap_read_what_the_ones_before_wrote():
  keys = jax.random.split(jax.random.key(0), 7)
  x = jax.random.normal(keys[0], (4, 2048), jnp.bfloat16)
  weights = [
    jax.random.normal(key, (2048, 2048), jnp.bfloat16) for key in keys[1:]
  ]

  def compute(pdl):
    with jd.options(implementation="kernel", pdl=pdl):
      compiled = jax.jit(_layers).lower(x, weights).compile()
    return [np.asarray(compiled(x, weights), np.float32) for _ in range(10)]

  expected = compute(False)[0]
  for result in compute(True):
    np.testing.assert_array_equal(result, expected)
