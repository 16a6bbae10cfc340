"""The kernel's results against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.testing import calc_diff
from tests.gpu.gemm_data import (
  poison_device_memory,
  product,
  row_error,
  scaled_operands,
)

pytestmark = pytest.mark.gpu

SHAPES = [
  (2, 3, 5),
  (1, 128, 128),
  (3, 72, 256),
  (7, 130, 144),
  (64, 16, 2048),
  (129, 257, 640),
  (577, 1000, 272),
  (1000, 576, 1111),
]
# With the forms of the benchmark's shapes, which the tuned table chooses.
LARGE_SHAPES = [(1, 2112, 7168), (128, 4096, 1024), (4096, 2112, 512)]

# What FP8 tensor cores leave of float32: products are added with about 14
# bits, see docs/performance.md.
FLOAT32_BOUND = 5e-4


def _compute(a, b, c=None, **kwargs):
  with jd.options(implementation="kernel"):
    function = jax.jit(lambda a, b, c: jd.fp8_gemm_nt(a, b, c, **kwargs))
    return function(a, b, c)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("out_dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("with_c", [False, True])
def test_result_is_the_dequantized_product(shape, out_dtype, with_c):
  m, n, k = shape
  a, b = scaled_operands(m, n, k)
  random = np.random.default_rng(1)
  c = None
  if with_c:
    c = jnp.asarray(random.standard_normal((m, n)) * 1e4, out_dtype)
  expected = product(a, b, c)
  poison_device_memory()
  actual = _compute(a, b, c, out_dtype=out_dtype)
  assert actual.dtype == out_dtype
  bound = FLOAT32_BOUND if out_dtype == jnp.float32 else 1e-2
  assert row_error(actual, expected) < bound


@pytest.mark.parametrize("shape", LARGE_SHAPES, ids=str)
def test_large_results_are_the_dequantized_product(shape):
  a, b = scaled_operands(*shape)
  poison_device_memory()
  assert row_error(_compute(a, b), product(a, b)) < 1e-2


@pytest.mark.parametrize("shape", [(3, 72, 256), (577, 1000, 272)], ids=str)
@pytest.mark.parametrize("out_dtype", [jnp.bfloat16, jnp.float32])
def test_scales_per_row_of_both_operands(shape, out_dtype):
  a, b = scaled_operands(*shape, sfb_per_row=True)
  poison_device_memory()
  actual = _compute(a, b, recipe=(1, 1, 128), out_dtype=out_dtype)
  bound = FLOAT32_BOUND if out_dtype == jnp.float32 else 1e-2
  assert row_error(actual, product(a, b)) < bound


@pytest.mark.parametrize("groups", [2, 5])
@pytest.mark.parametrize("with_c", [False, True])
def test_a_batch_is_one_launch_with_every_product_right(groups, with_c):
  a, b = scaled_operands(150, 200, 384, groups=groups)
  c = None
  if with_c:
    c = jnp.full((groups, 150, 200), 3.0, jnp.bfloat16)
  poison_device_memory()
  with jd.options(implementation="kernel"):
    function = jax.jit(
      jax.vmap(jd.fp8_gemm_nt, in_axes=(0, 0, 0 if with_c else None))
    )
    actual = function(a, b, c)
  assert row_error(actual, product(a, b, c)) < 1e-2


def test_quantising_inside_keeps_the_unquantised_product():
  key = jax.random.key(0)
  a = jax.random.normal(key, (384, 1536), jnp.bfloat16)
  b = jax.random.normal(jax.random.key(1), (640, 1536), jnp.bfloat16)
  exact = np.asarray(a, np.float64) @ np.asarray(b, np.float64).T
  assert calc_diff(_compute(a, b), exact) < 1e-3


@pytest.mark.parametrize("shape", [(1, 2112, 7168), (4096, 576, 2048)], ids=str)
def test_twenty_repeats_have_the_same_bits(shape):
  a, b = jax.device_put(scaled_operands(*shape))
  with jd.options(implementation="kernel"):
    function = jax.jit(jd.fp8_gemm_nt)
    first = np.asarray(function(a, b)).view(np.uint16)
    poison_device_memory(1)
    for _ in range(20):
      again = np.asarray(function(a, b)).view(np.uint16)
      np.testing.assert_array_equal(first, again)


def test_a_donated_c_is_updated_in_place():
  a, b = scaled_operands(256, 512, 256)
  c = jnp.ones((256, 512), jnp.float32)
  expected = product(a, b, c)
  with jd.options(implementation="kernel"):
    function = jax.jit(
      lambda a, b, c: jd.fp8_gemm_nt(a, b, c, out_dtype=jnp.float32),
      donate_argnums=2,
    )
    address = c.unsafe_buffer_pointer()
    actual = function(a, b, c)
  assert actual.unsafe_buffer_pointer() == address
  assert row_error(actual, expected) < FLOAT32_BOUND


def test_the_kernel_agrees_with_the_reference_in_gradients():
  a = jax.random.normal(jax.random.key(0), (256, 384), jnp.float32)
  b = jax.random.normal(jax.random.key(1), (320, 384), jnp.float32)

  def loss(a, b):
    return jnp.sum(jnp.sin(jd.fp8_gemm_nt(a, b, out_dtype=jnp.float32)))

  def gradients(implementation):
    with jd.options(implementation=implementation):
      return jax.jit(jax.grad(loss, argnums=(0, 1)))(a, b)

  kernel_a, kernel_b = gradients("kernel")
  reference_a, reference_b = gradients("reference")
  assert calc_diff(kernel_a, reference_a) < 1e-3
  assert calc_diff(kernel_b, reference_b) < 1e-3


def test_options_of_the_launch_do_not_change_the_result():
  a, b = jax.device_put(scaled_operands(300, 520, 1024))

  def compute(**kwargs):
    with jd.options(implementation="kernel", **kwargs):
      return np.asarray(jax.jit(jd.fp8_gemm_nt)(a, b)).view(np.uint16)

  expected = compute()
  np.testing.assert_array_equal(compute(pdl=True), expected)
  np.testing.assert_array_equal(compute(num_sms=20), expected)
  np.testing.assert_array_equal(
    compute(block_size_multiple_of=(64, 32)), expected
  )
  np.testing.assert_array_equal(compute(embed_cubin=True), expected)
