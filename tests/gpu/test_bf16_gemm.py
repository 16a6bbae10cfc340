"""The BF16 kernel's results against float64, on a Hopper GPU."""

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
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import kernel_library, sm90_bf16_gemm
from tests.gpu.bf16_data import magnitude, operands, product
from tests.gpu.gemm_data import poison_device_memory

pytestmark = pytest.mark.gpu

LAYOUTS = ("nt", "nn", "tn", "tt")
SHAPES = [
  (1, 1, 1),
  (2, 3, 5),
  (1, 128, 128),
  (7, 130, 144),
  (64, 16, 2048),
  (129, 257, 640),
  (577, 1000, 272),
  (1000, 576, 1111),
]
LARGE_SHAPES = [(1, 2112, 7168), (128, 4096, 1024), (4096, 2112, 512)]
NUM_CONFIGS = 24
NUM_CONFIGS_OF_ENDS = 8


def _compute(layout, a, b, c=None, **kwargs):
  function = getattr(jd, f"bf16_gemm_{layout}")
  with jd.options(implementation="kernel"):
    return jax.jit(lambda *x: function(*x, **kwargs))(a, b, c)


def _assert_is_product(d, a, b, c=None, *, layout="nt"):
  """Checks each element; NaN is never within a bound."""
  exact = product(a, b, c, layout=layout)
  k = a.shape[-2] if layout[0] == "t" else a.shape[-1]
  # Tensor cores may truncate where float32 rounds, once per product of 16.
  allowed = magnitude(a, b, c, layout=layout) * 2.0**-22 * max(4, k / 64)
  if d.dtype != np.float32:
    allowed = allowed + np.abs(exact) * 2.0**-8
  assert np.all(np.abs(np.asarray(d).astype(np.float64) - exact) <= allowed)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("out_dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("with_c", [False, True])
def test_result_is_the_product(layout, shape, out_dtype, with_c):
  m, n, k = shape
  a, b = operands(m, n, k, layout=layout)
  c = None
  if with_c:
    values = np.random.default_rng(1).standard_normal((m, n)) * 1e3
    c = jnp.asarray(values, out_dtype)
  poison_device_memory(1)
  actual = _compute(layout, a, b, c, out_dtype=out_dtype)
  assert actual.dtype == out_dtype
  _assert_is_product(actual, a, b, c, layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", LARGE_SHAPES, ids=str)
def test_large_results_are_the_product(layout, shape):
  a, b = operands(*shape, layout=layout)
  poison_device_memory()
  _assert_is_product(_compute(layout, a, b), a, b, layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("with_c", [False, True])
def test_a_batch_has_every_product_right(layout, with_c):
  a, b = operands(150, 200, 384, layout=layout, groups=3)
  c = jnp.full((3, 150, 200), 3.0, jnp.bfloat16) if with_c else None
  poison_device_memory(1)
  function = getattr(jd, f"bf16_gemm_{layout}")
  with jd.options(implementation="kernel"):
    mapped = jax.jit(jax.vmap(function, in_axes=(0, 0, 0 if with_c else None)))
    actual = mapped(a, b, c)
  _assert_is_product(actual, a, b, c, layout=layout)


@pytest.mark.parametrize("layout", ["nt", "tn"])
@pytest.mark.parametrize("shape", [(1, 2112, 7168), (4096, 576, 2048)], ids=str)
def test_twenty_repeats_have_the_same_bits(layout, shape):
  a, b = jax.device_put(operands(*shape, layout=layout))
  first = np.asarray(_compute(layout, a, b, out_dtype=jnp.float32))
  for _ in range(20):
    again = np.asarray(_compute(layout, a, b, out_dtype=jnp.float32))
    np.testing.assert_array_equal(again, first)


def test_a_donated_c_is_accumulated_in_place():
  a, b = operands(300, 520, 256)
  c = jnp.ones((300, 520), jnp.float32)
  place = c.unsafe_buffer_pointer()
  with jd.options(implementation="kernel"):
    function = jax.jit(jd.bf16_gemm_nt, donate_argnums=2)
    d = function(jnp.asarray(a), jnp.asarray(b), c)
  assert d.unsafe_buffer_pointer() == place
  _assert_is_product(d, a, b, np.ones((300, 520)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_those_of_xlas_dot(layout):
  a, b = (jnp.asarray(x) for x in operands(200, 328, 136, layout=layout))

  def gradients(prefix):
    function = getattr(jd, f"{prefix}_gemm_{layout}")
    loss = lambda a, b: function(a, b).astype(jnp.float32).sum()  # noqa: E731
    return jax.jit(jax.grad(loss, (0, 1)))(a, b)

  with jd.options(implementation="kernel"):
    found = gradients("bf16")
  for x, y in zip(found, gradients("cublaslt"), strict=True):
    x, y = (np.asarray(v, np.float32) for v in (x, y))
    assert np.linalg.norm(x - y) <= 1e-2 * np.linalg.norm(y)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
  ("m", "n", "k", "flags"),
  [
    (517, 712, 512, {}),
    (40, 1032, 1024, {}),
    (40, 264, 1000, {}),
    (333, 264, 384, {"float32_out": True, "with_c": True}),
  ],
)
def test_sampled_configurations_are_right(monkeypatch, layout, m, n, k, flags):
  _assert_are_right(monkeypatch, NUM_CONFIGS, layout, m, n, k, **flags)


@pytest.mark.parametrize("m", [65, 129, 257])
@pytest.mark.parametrize("k", [256, 1000])
def test_a_may_end_a_row_beyond_a_tile(monkeypatch, m, k):
  _assert_are_right(monkeypatch, NUM_CONFIGS_OF_ENDS, "nt", m, 264, k)


def _assert_are_right(monkeypatch, num_configs, layout, m, n, k, **flags):
  poison_device_memory()
  mn_major = {"a_mn_major": layout[0] == "t", "b_mn_major": layout[1] == "n"}
  problem = Bf16GemmProblem(m, n, k, **mn_major, **flags)
  configs = sorted(legal_configs(problem, H200), key=str)
  configs = random.Random(m).sample(configs, num_configs)
  out_dtype = jnp.float32 if flags else jnp.bfloat16
  a, b = operands(m, n, k, layout=layout, groups=1)
  c = jnp.ones((1, m, n), out_dtype) if flags else None
  for config in configs:
    kernel_library.library().prefetch(sm90_bf16_gemm.recipe(config))
  run = functools.partial(
    sm90_bf16_gemm.run,
    out_dtype=np.dtype(out_dtype),
    **mn_major,
    options=Options(),
    device=H200,
  )
  for config in configs:
    monkeypatch.setattr(
      sm90_bf16_gemm, "choose", functools.partial(_always, config)
    )
    # A partial of its own, so that jit traces it for this configuration.
    result = jax.jit(functools.partial(run))(jnp.asarray(a), jnp.asarray(b), c)
    _assert_is_product(result, a, b, c, layout=layout)


def _always(config, *args, **kwargs):
  del args, kwargs
  return config
