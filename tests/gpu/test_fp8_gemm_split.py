"""The FP8 GEMM for few tiles on a GPU: values, order of sums."""

import functools
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem, legal_configs
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import (
  Sm90Fp8GemmSplitConfig,
  legal_split_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  kernel_library,
  sm90_fp8_gemm,
  sm90_fp8_gemm_split,
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
    for config in sorted(legal_split_configs(problem, H200), key=str)
    if all(getattr(config, name) == wanted[name] for name in wanted)
  ]
  return random.Random(problem.m).sample(configs, min(count, len(configs)))


def _prefetch(configs):
  for config in configs:
    split = isinstance(config, Sm90Fp8GemmSplitConfig)
    module = sm90_fp8_gemm_split if split else sm90_fp8_gemm
    kernel_library.library().prefetch(module.recipe(config))


@pytest.fixture
def compute(monkeypatch):
  """Returns D of a problem by one configuration, `[groups, m, n]`."""

  def compute(problem, config, operands, c=None):
    monkeypatch.setattr(sm90_fp8_gemm, "choose", lambda *_, **__: config)
    dtype = np.float32 if problem.float32_out else jnp.bfloat16
    run = functools.partial(
      sm90_fp8_gemm.run,
      out_dtype=np.dtype(dtype),
      recipe_a=(1, 128),
      recipe_b=(128, 128),
      options=Options(),
      device=H200,
    )
    return jax.jit(run)(*operands, c)

  return compute


@pytest.mark.parametrize(
  ("m", "n", "k", "kwargs"),
  [
    (33, 2112, 7168, {}),
    (64, 1000, 272, {"float32_out": True, "with_c": True}),
    (65, 576, 7168, {}),
    (65, 203, 1111, {"float32_out": True}),
    (100, 130, 1024, {"num_groups": 3, "with_c": True}),
    (128, 4096, 2048, {"with_c": True}),
    (129, 712, 4096, {"float32_out": True}),
    (257, 1032, 1111, {"num_groups": 2}),
  ],
)
def test_sampled_configurations_are_right(compute, m, n, k, kwargs):
  problem = Fp8GemmProblem(m, n, k, **kwargs)
  a, b = scaled_operands(m, n, k, groups=problem.num_groups)
  dtype = jnp.float32 if problem.float32_out else jnp.bfloat16
  shape = (problem.num_groups, m, n)
  c = jnp.ones(shape, dtype) if problem.with_c else None
  expected = product(a, b, c)
  operands = [jnp.asarray(x) for x in (*a, *b)]
  bound = FLOAT32_BOUND if problem.float32_out else BFLOAT16_BOUND
  configs = _sample(problem)
  assert configs
  _prefetch(configs)
  wrong = []
  for config in configs:
    poison_device_memory(1)
    error = row_error(compute(problem, config, operands, c), expected)
    if not error < bound:
      wrong.append((error, config))
  assert not wrong


@pytest.mark.parametrize("num_splits", [2, 4, 8])
def test_splits_are_summed_in_the_same_order_each_time(compute, num_splits):
  problem = Fp8GemmProblem(100, 576, 7168, float32_out=True)
  operands = [
    jnp.asarray(x)[None]
    for pair in scaled_operands(100, 576, 7168)
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
  a, b = scaled_operands(300, 1032, 7168)
  for m in (33, 64, 129, 300):
    problem = Fp8GemmProblem(m, 1032, 7168, float32_out=True)
    operands = [jnp.asarray(x)[None] for x in (a[0][:m], a[1][:m], *b)]
    (other,) = random.Random(0).sample(
      sorted(legal_configs(problem, H200), key=str), 1
    )
    configs = [other, *_sample(problem, 4, num_splits=1)]
    assert len(configs) > 1
    _prefetch(configs)
    first, *rest = (
      np.asarray(compute(problem, config, operands)) for config in configs
    )
    for found in rest:
      np.testing.assert_array_equal(found, first)
