"""The primitive of fp8 with FP4: values, transformations, and lowering."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.options import current
from jax_deepgemm.primitives.fp8_fp4_gemm import fp8_fp4_gemm
from tests.primitives.cuda_lowering import lowered_for_cuda
from tests.primitives.fp4_oracle import dequantized_fp4, fp4
from tests.primitives.gemm_oracle import assert_is_product, dequantized, scaled

PER_TOKEN = (1, 128)
SHAPES = [
  (1, 1, 1),
  (3, 5, 7),
  (4, 8, 32),
  (64, 96, 256),
  (130, 129, 300),
  (17, 131, 641),
]


def multiply(a, b, c=None, out_dtype=jnp.float32):
  return fp8_fp4_gemm(*a, *b, c, out_dtype=out_dtype, options=current())


@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
@pytest.mark.parametrize("with_c", [False, True])
def test_the_product_is_that_of_the_dequantised_operands(m, n, k, with_c):
  a, b = scaled(m, k, PER_TOKEN, 1), fp4(n, k, 5)
  c = np.random.default_rng(9).normal(size=(m, n)).astype(np.float32)
  d = multiply(a, b, c if with_c else None)
  assert_is_product(
    d,
    dequantized(a, PER_TOKEN),
    dequantized_fp4(b, k),
    c.astype(np.float64) if with_c else None,
  )


@pytest.mark.parametrize(("lowest", "highest"), [(-60, -20), (-3, 40)])
def test_scales_may_differ_by_any_power(lowest, highest):
  a, b = scaled(9, 384, PER_TOKEN, 1), fp4(12, 384, 5, lowest, highest)
  assert_is_product(
    multiply(a, b), dequantized(a, PER_TOKEN), dequantized_fp4(b, 384)
  )


def test_a_scale_byte_of_255_makes_its_row_of_b_nan_and_0_counts_nothing():
  a, b = scaled(5, 256, PER_TOKEN, 1), fp4(6, 256, 5)
  scales = b.scales.view(np.uint8).reshape(6, 8).copy()
  scales[2, 5], scales[4, 1] = 255, 0
  b = dg.ScaledArray(b.values, scales.view(np.int32))
  d = np.asarray(multiply(a, b))
  assert np.isnan(d[:, 2]).all()
  keep = [0, 1, 3, 4, 5]
  exact = dequantized_fp4(b, 256)[keep]
  assert_is_product(d[:, keep], dequantized(a, PER_TOKEN), exact)


def test_the_result_is_rounded_once():
  a, b = scaled(70, 300, PER_TOKEN, 1), fp4(90, 300, 5)
  d = multiply(a, b, out_dtype=jnp.bfloat16)
  assert d.dtype == jnp.bfloat16
  assert_is_product(d, dequantized(a, PER_TOKEN), dequantized_fp4(b, 300))


@pytest.mark.parametrize("side", ["a", "b", "ab"])
def test_a_vmap_is_the_loop_in_one_call(side):
  a = [jnp.stack([x] * 3) for x in scaled(6, 300, PER_TOKEN, 1)]
  a[0] = a[0].at[1].set(0)
  b = [jnp.stack([x, x, x[::-1]]) for x in fp4(10, 300, 5)]
  inputs = [x if "a" in side else x[0] for x in a]
  inputs += [x if "b" in side else x[0] for x in b]
  axes = [0 if "a" in side else None] * 2 + [0 if "b" in side else None] * 2

  def f(av, asf, bv, bsf):
    return multiply((av, asf), (bv, bsf))

  mapped = jax.vmap(f, axes)
  found = mapped(*inputs)
  for i in range(3):
    one = [x if d is None else x[i] for x, d in zip(inputs, axes, strict=True)]
    np.testing.assert_allclose(found[i], f(*one), rtol=1e-6, atol=1e-6)
  assert str(jax.make_jaxpr(mapped)(*inputs)).count("fp8_fp4_gemm[") == 1


def test_an_empty_product_is_zero_or_c():
  c = np.ones((4, 5), np.float32)
  a, b = scaled(4, 0, PER_TOKEN, 1), fp4(5, 0, 1)
  np.testing.assert_array_equal(multiply(a, b), np.zeros((4, 5)))
  np.testing.assert_array_equal(multiply(a, b, c), c)


def test_a_cpu_has_no_kernel_to_insist_on():
  with (
    dg.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match="fp8_fp4_gemm has no kernel for"),
  ):
    multiply(scaled(4, 128, PER_TOKEN, 1), fp4(5, 128, 1))


def test_the_reference_can_be_lowered_for_a_gpu():
  a, b = scaled(4, 128, PER_TOKEN, 1), fp4(5, 128, 1)
  with dg.options(implementation="reference"):
    assert "custom_call" not in lowered_for_cuda(multiply, a, b)
