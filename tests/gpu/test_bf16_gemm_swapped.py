"""The BF16 GEMM with swapped operands on a GPU: values, order of sums, PDL."""

import functools
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Bf16GemmProblem,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  kernel_library,
  sm90_bf16_gemm,
  sm90_bf16_gemm_swapped,
)
from tests.gpu.bf16_data import magnitude, operands, product
from tests.gpu.gemm_data import poison_device_memory

pytestmark = pytest.mark.gpu

LAYOUTS = ("nt", "nn", "tn", "tt")
NUM_CONFIGS = 8
NUM_REPEATS = 30


def _problem(layout, m, n, k, **fields):
  return Bf16GemmProblem(
    m,
    n,
    k,
    a_mn_major=layout[0] == "t",
    b_mn_major=layout[1] == "n",
    **fields,
  )


def _sample(problem, count=NUM_CONFIGS, **wanted):
  configs = [
    config
    for config in sorted(legal_swapped_configs(problem, H200), key=str)
    if all(getattr(config, name) == wanted[name] for name in wanted)
  ]
  return random.Random(problem.m).sample(configs, min(count, len(configs)))


def _prefetch(configs):
  for config in configs:
    swapped = isinstance(config, Sm90Bf16GemmSwappedConfig)
    module = sm90_bf16_gemm_swapped if swapped else sm90_bf16_gemm
    kernel_library.library().prefetch(module.recipe(config))


@pytest.fixture
def compute(monkeypatch):
  """Returns D of a problem by one configuration, `[groups, m, n]`."""

  def compute(problem, config, a, b, c=None):
    monkeypatch.setattr(sm90_bf16_gemm, "choose", lambda *_, **__: config)
    dtype = np.float32 if problem.float32_out else jnp.bfloat16
    run = functools.partial(
      sm90_bf16_gemm.run,
      out_dtype=np.dtype(dtype),
      a_mn_major=problem.a_mn_major,
      b_mn_major=problem.b_mn_major,
      options=Options(),
      device=H200,
    )
    return np.asarray(jax.jit(run)(a, b, c))

  return compute


def _assert_is_product(d, a, b, c, layout, k):
  """Checks each element; NaN is never within a bound."""
  exact = product(a, b, c, layout=layout)
  # Tensor cores may truncate where float32 rounds, once per product of 16.
  allowed = magnitude(a, b, c, layout=layout) * 2.0**-22 * max(4, k / 64)
  if d.dtype != np.float32:
    allowed = allowed + np.abs(exact) * 2.0**-8
  assert np.all(np.abs(d.astype(np.float64) - exact) <= allowed)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
  ("m", "n", "k", "fields"),
  [
    (1, 2112, 7168, {}),
    (5, 1000, 272, {"float32_out": True, "with_c": True}),
    (20, 130, 1024, {"float32_out": True}),
    (40, 202, 1111, {"with_c": True}),
    (64, 1032, 1024, {"num_groups": 3}),
    (128, 576, 4096, {}),
    (200, 392, 2048, {"with_c": True}),
  ],
)
def test_sampled_configurations_are_right(compute, layout, m, n, k, fields):
  problem = _problem(layout, m, n, k, **fields)
  a, b = operands(m, n, k, layout=layout, groups=problem.num_groups)
  dtype = jnp.float32 if problem.float32_out else jnp.bfloat16
  c = jnp.ones((problem.num_groups, m, n), dtype) if problem.with_c else None
  configs = _sample(problem)
  _prefetch(configs)
  on_device = jax.device_put((a, b))
  for config in configs:
    poison_device_memory(1)
    result = compute(problem, config, *on_device, c)
    _assert_is_product(result, a, b, c, layout, k)


@pytest.mark.parametrize("m", [1, 9, 129])
@pytest.mark.parametrize("k", [512, 1000])
def test_what_a_stage_held_before_does_not_matter(compute, m, k):
  """Rows of A that are not there are not loaded: here they are NaN."""
  n = 132 * 64  # Every multiprocessor has a tile.
  problem = _problem("nt", m, n, k)
  a, b = operands(m, n, k, groups=1)
  configs = _sample(problem, 3)
  _prefetch(configs)
  on_device = jax.device_put((a, b))
  for config in configs:
    nan = jnp.full((1, config.block_m, k), jnp.nan, jnp.bfloat16)
    before = compute(problem, config, nan, on_device[1])
    assert np.isnan(before.astype(np.float32)).all()
    result = compute(problem, config, *on_device)
    _assert_is_product(result, a, b, None, "nt", k)


@pytest.mark.parametrize("layout", ["nt", "nn"])
@pytest.mark.parametrize("num_splits", [2, 4, 8])
def test_splits_are_summed_in_the_same_order_each_time(
  compute, layout, num_splits
):
  problem = _problem(layout, 24, 2112, 7168, float32_out=True)
  arrays = jax.device_put(operands(24, 2112, 7168, layout=layout, groups=1))
  configs = _sample(problem, 3, num_splits=num_splits)
  assert configs
  _prefetch(configs)
  for config in configs:
    first = compute(problem, config, *arrays)
    for _ in range(NUM_REPEATS):
      again = compute(problem, config, *arrays)
      np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("layout", ["nt", "nn", "tt"])
def test_an_unsplit_sum_is_that_of_the_kernel_for_many_rows(compute, layout):
  """The tensor cores add alike whichever operand has the rows."""
  rows, b = operands(128, 1032, 7168, groups=1, layout="n" + layout[1])
  sample = random.Random(0).sample
  for m in (1, 17, 64, 128):
    problem = _problem(layout, m, 1032, 7168, float32_out=True)
    a = rows[:, :m]
    if problem.a_mn_major:
      a = np.ascontiguousarray(np.swapaxes(a, 1, 2))
    others = sample(sorted(legal_configs(problem, H200), key=str), 2)
    configs = [*others, *_sample(problem, 4, num_splits=1)]
    _prefetch(configs)
    arrays = jax.device_put((a, b))
    first, *rest = (compute(problem, config, *arrays) for config in configs)
    for other in rest:
      np.testing.assert_array_equal(other, first)


@pytest.mark.parametrize("layout", ["nt", "nn"])
@pytest.mark.parametrize("weight", [(2112, 7168), (7168, 2048), (576, 7168)])
def test_rows_do_not_depend_on_the_batch_when_asked(layout, weight):
  n, k = weight
  a, b = jax.device_put(operands(4096, n, k, layout=layout))
  with jd.options(implementation="kernel", batch_invariant=True):
    gemm = jax.jit(getattr(jd, f"bf16_gemm_{layout}"))
    everything = np.asarray(gemm(a, b)).view(np.uint16)
    for rows in (1, 7, 64, 128, 300):
      part = slice(100, 100 + rows)
      few = np.asarray(gemm(a[part], b)).view(np.uint16)
      np.testing.assert_array_equal(few, everything[part])


def _layers(x, weights):
  for weight in weights:
    # Made here, so that the kernel before writes what this one reads.
    y = jd.bf16_gemm_nt(x, weight * 2)
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
