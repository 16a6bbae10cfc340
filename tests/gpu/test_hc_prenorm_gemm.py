"""tf32_hc_prenorm_gemm's kernel against float64, on a Hopper GPU."""

import functools
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_hc_prenorm_gemm import (
  HcPrenormProblem,
  legal_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import kernel_library, sm90_hc_prenorm_gemm
from jax_deepgemm.testing import calc_diff
from tests.gpu.gemm_data import on_the_cpu, poison_device_memory
from tests.hyperconnection.hc_oracle import (
  KERNEL_ERROR,
  joined,
  operands,
  partials,
)

pytestmark = pytest.mark.gpu

NUM_CONFIGS = 20
SHAPES = [
  (1, 1, 1, None),
  (2, 3, 5, 2),
  (13, 24, 7168, None),
  (13, 24, 28672, 16),
  (65, 31, 1001, 3),
  (137, 24, 7680, None),
  (137, 8, 640, 16),
  (300, 40, 1032, None),  # Two tiles along n.
]


def _compute(a, b, splits=None):
  function = functools.partial(jd.tf32_hc_prenorm_gemm, num_splits=splits)
  with jd.options(implementation="kernel"):
    return jax.jit(function)(a, b)


def _assert_right(found, a, b, count):
  """Checks each element; NaN is never within a bound."""
  exact = partials(a, b, count)
  size = partials(np.abs(a), np.abs(b), count)
  # Tensor cores may truncate where float32 rounds, once per product of 16.
  truncated = 2.0**-22 * max(4, a.shape[-1] / 64)
  assert found.shape == exact.shape
  assert np.all(np.abs(found - exact) <= (KERNEL_ERROR + truncated) * size)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_results_are_those_of_float64(shape):
  *sizes, splits = shape
  a, b = operands(*sizes)
  poison_device_memory(1)
  found = joined(*_compute(a, b, splits))
  found = found[None] if splits is None else found
  _assert_right(found, a, b, splits or 1)


@pytest.mark.parametrize(
  ("m", "k"), [(13, 28672), (137, 7168), (4096, 7168)], ids=str
)
def test_the_distance_is_that_of_deepgemms_tests(m, k):
  key_a, key_b = jax.random.split(jax.random.key(0))
  a = jax.random.normal(key_a, (m, k), jnp.bfloat16)
  b = jax.random.normal(key_b, (24, k), jnp.float32)
  poison_device_memory()
  d, sqr_sum = _compute(a, b)
  exact = partials(a, b)[0]
  assert calc_diff(d, exact[:, :24]) < 1e-8
  assert calc_diff(sqr_sum, exact[:, 24]) < 1e-8


@pytest.mark.parametrize(
  ("m", "k", "splits"),
  [(13, 28672, None), (137, 7168, 16), (4096, 7168, None), (1000, 1000, 3)],
  ids=str,
)
def test_forty_repeats_have_the_same_bits(m, k, splits):
  a, b = jax.device_put(operands(m, 24, k))
  first = joined(*_compute(a, b, splits))
  for _ in range(40):
    np.testing.assert_array_equal(joined(*_compute(a, b, splits)), first)


def test_equal_rows_have_equal_bits_wherever_they_lie():
  a, b = operands(1, 24, 7168)
  found = joined(*_compute(np.repeat(a, 4100, axis=0), b))
  np.testing.assert_array_equal(found, np.broadcast_to(found[:1], found.shape))


def test_a_batch_invariant_row_has_the_same_bits_alone():
  a, b = operands(300, 24, 7168)
  with jd.options(batch_invariant=True):
    many = joined(*_compute(a, b))
    few = joined(*_compute(a[200:213], b))
  np.testing.assert_array_equal(many[200:213], few)


def test_a_batch_has_every_product_right():
  a, b = operands(150, 24, 1000, groups=3)
  poison_device_memory(1)
  with jd.options(implementation="kernel"):
    mapped = jax.jit(jax.vmap(jd.tf32_hc_prenorm_gemm))
    found = joined(*mapped(a, b))
  _assert_right(found[None], a, b, 1)


def test_gradients_are_those_of_the_reference():
  a, b = (jnp.asarray(x) for x in operands(200, 24, 328))

  def loss(a, b):
    d, sqr_sum = jd.tf32_hc_prenorm_gemm(a, b)
    return (d * jax.lax.rsqrt(sqr_sum / 328 + 1e-6)[:, None]).sum()

  with jd.options(implementation="kernel"):
    found = jax.jit(jax.grad(loss, (0, 1)))(a, b)
  with on_the_cpu():
    expected = jax.grad(loss, (0, 1))(*jax.device_get((a, b)))
  for x, y in zip(found, expected, strict=True):
    x, y = (np.asarray(v, np.float32) for v in (x, y))
    assert np.linalg.norm(x - y) <= 4e-3 * np.linalg.norm(y)


@pytest.mark.parametrize("size", [(517, 24, 2056), (70, 33, 1100)], ids=str)
def test_sampled_configurations_are_right(monkeypatch, size):
  problem = HcPrenormProblem(*size, num_partials=2)
  configs = sorted(legal_configs(problem, H200), key=str)
  configs = random.Random(size[0]).sample(configs, NUM_CONFIGS)
  a, b = operands(*size, groups=1)
  for config in configs:
    kernel_library.library().prefetch(sm90_hc_prenorm_gemm.recipe(config))
  run = functools.partial(
    sm90_hc_prenorm_gemm.run, num_splits=2, options=Options(), device=H200
  )
  for config in configs:
    monkeypatch.setattr(
      sm90_hc_prenorm_gemm, "choose", functools.partial(_always, config)
    )
    # A partial of its own, so that jit traces it for this configuration.
    results = jax.jit(functools.partial(run))(jnp.asarray(a), jnp.asarray(b))
    _assert_right(joined(*results), a, b, 2)


def _always(config, *args, **kwargs):
  del args, kwargs
  return config
