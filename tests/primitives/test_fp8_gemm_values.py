"""fp8_gemm_* on the CPU against a float64 oracle."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.ue8m0 import pack_ue8m0_to_int
from tests.primitives.gemm_oracle import (
  assert_is_product,
  codes,
  dequantized,
  scaled,
)

DEFAULT = ((1, 128), (128, 128))
RECIPES = {
  "1d2d": DEFAULT,
  "1d1d": ((1, 128), (1, 128)),
  "2d1d": ((128, 128), (1, 128)),
  "2d2d": ((128, 128), (128, 128)),
  "1x32": ((1, 32), (1, 32)),
  "1x32 by block": ((1, 32), (128, 128)),
}
SHAPES = [
  (1, 1, 1),
  (4, 8, 32),
  (3, 5, 7),
  (130, 129, 127),
  (64, 256, 384),
  (129, 300, 257),
  (17, 131, 640),
]
GEMMS = {
  "nt": dg.fp8_gemm_nt,
  "nn": dg.fp8_gemm_nn,
  "tn": dg.fp8_gemm_tn,
  "tt": dg.fp8_gemm_tt,
}


def transposed(operand):
  return dg.ScaledArray(operand.values.T, operand.scales.T)


def random_c(m, n, dtype, seed=9):
  return np.random.default_rng(seed).normal(size=(m, n)).astype(dtype)


@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
@pytest.mark.parametrize("recipes", RECIPES.values(), ids=RECIPES)
def test_the_product_is_that_of_the_dequantised_operands(m, n, k, recipes):
  a, b = scaled(m, k, recipes[0], 1), scaled(n, k, recipes[1], 5)
  d = dg.fp8_gemm_nt(
    a, b, out_dtype=jnp.float32, recipe_a=recipes[0], recipe_b=recipes[1]
  )
  assert_is_product(d, dequantized(a, recipes[0]), dequantized(b, recipes[1]))


@pytest.mark.parametrize("layout", GEMMS)
@pytest.mark.parametrize(("m", "n", "k"), [(130, 200, 300), (5, 384, 128)])
def test_each_layout_transposes_values_and_scales(layout, m, n, k):
  a, b = scaled(m, k, DEFAULT[0], 1), scaled(n, k, DEFAULT[1], 5)
  d = GEMMS[layout](
    transposed(a) if layout[0] == "t" else a,
    transposed(b) if layout[1] == "n" else b,
    out_dtype=jnp.float32,
  )
  assert_is_product(d, dequantized(a, DEFAULT[0]), dequantized(b, DEFAULT[1]))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("with_c", [False, True])
def test_the_result_is_rounded_once_to_its_dtype(dtype, with_c):
  a, b = scaled(70, 300, DEFAULT[0], 1), scaled(90, 300, DEFAULT[1], 5)
  c = random_c(70, 90, dtype) if with_c else None
  d = dg.fp8_gemm_nt(a, b, c, out_dtype=dtype)
  assert d.dtype == dtype
  assert_is_product(
    d,
    dequantized(a, DEFAULT[0]),
    dequantized(b, DEFAULT[1]),
    c.astype(np.float64) if with_c else None,
  )


def test_the_dtype_is_that_of_c_and_else_bfloat16():
  a, b = scaled(4, 128, DEFAULT[0], 1), scaled(8, 128, DEFAULT[1], 5)
  c = random_c(4, 8, np.float32)
  assert dg.fp8_gemm_nt(a, b).dtype == jnp.bfloat16
  assert dg.fp8_gemm_nt(a, b, c).dtype == jnp.float32


@pytest.mark.parametrize(
  "kwargs",
  [
    {"recipe": (1, 1, 128)},
    {"recipe": [1, 1, 128]},
    {"recipe_a": (1, 128), "recipe_b": (1, 128)},
  ],
  ids=["triple", "list", "pair"],
)
def test_a_recipe_is_a_triple_or_a_pair(kwargs):
  a, b = scaled(4, 256, (1, 128), 1), scaled(130, 256, (1, 128), 5)
  d = dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32, **kwargs)
  assert_is_product(d, dequantized(a, (1, 128)), dequantized(b, (1, 128)))


@pytest.mark.parametrize("k", [128, 640, 700])
@pytest.mark.parametrize("layout", GEMMS)
def test_packed_scales_are_unpacked_along_k(k, layout):
  def packable(operand):
    scales = np.exp2(np.round(np.log2(operand.scales))).astype(np.float32)
    return dg.ScaledArray(operand.values, scales)

  def packed(operand):
    missing = -operand.scales.shape[1] % 4
    padded = np.pad(operand.scales, ((0, 0), (0, missing)), constant_values=1)
    scales = np.asarray(pack_ue8m0_to_int(jnp.asarray(padded)))
    return dg.ScaledArray(operand.values, scales)

  a = packable(scaled(9, k, DEFAULT[0], 1))
  b = packable(scaled(140, k, DEFAULT[1], 5))
  d = GEMMS[layout](
    transposed(packed(a)) if layout[0] == "t" else packed(a),
    transposed(packed(b)) if layout[1] == "n" else packed(b),
    out_dtype=jnp.float32,
  )
  assert_is_product(d, dequantized(a, DEFAULT[0]), dequantized(b, DEFAULT[1]))


def test_operands_may_be_tuples_and_qwix_like_objects():
  a, b = scaled(4, 256, DEFAULT[0], 1), scaled(130, 256, DEFAULT[1], 5)
  as_qarray = types.SimpleNamespace(
    qvalue=b.values, scale=b.scales, zero_point=None
  )
  expected = dg.fp8_gemm_nt(a, b)
  np.testing.assert_array_equal(
    dg.fp8_gemm_nt((a.values, a.scales), as_qarray), expected
  )
  np.testing.assert_array_equal(
    jax.jit(dg.fp8_gemm_nt)([jnp.asarray(x) for x in a], b), expected
  )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_plain_operands_are_quantised_with_the_recipe(dtype):
  rng = np.random.default_rng(3)
  a = jnp.asarray(rng.normal(size=(20, 140)), dtype)
  b = jnp.asarray(rng.normal(size=(140, 140)), dtype)
  quantized_a = dg.per_token_cast_to_fp8(a)
  quantized_b = dg.per_block_cast_to_fp8(b)
  expected = dg.fp8_gemm_nt(quantized_a, quantized_b)
  for left, right in ((a, b), (a, quantized_b), (quantized_a, b)):
    np.testing.assert_array_equal(dg.fp8_gemm_nt(left, right), expected)
  np.testing.assert_array_equal(dg.fp8_gemm_tn(a.T, b.T), expected)


def test_plain_operands_follow_other_recipes_too():
  a = jnp.asarray(np.random.default_rng(3).normal(size=(70, 300)), jnp.float32)
  expected = dg.fp8_gemm_nt(
    dg.per_token_cast_to_fp8(a, gran_k=32),
    dg.per_token_cast_to_fp8(a, gran_k=32),
    recipe=(1, 1, 32),
  )
  np.testing.assert_array_equal(
    dg.fp8_gemm_nt(a, a, recipe=(1, 1, 32)), expected
  )


@pytest.mark.parametrize(
  ("m", "n", "k"), [(0, 4, 8), (4, 0, 8), (4, 5, 0), (0, 0, 0)]
)
@pytest.mark.parametrize("layout", GEMMS)
def test_an_empty_size_gives_zero_or_c(layout, m, n, k):
  a, b = scaled(m, k, DEFAULT[0], 1), scaled(n, k, DEFAULT[1], 5)
  a = transposed(a) if layout[0] == "t" else a
  b = transposed(b) if layout[1] == "n" else b
  c = random_c(m, n, np.float32)
  np.testing.assert_array_equal(
    GEMMS[layout](a, b, out_dtype=jnp.float32), np.zeros((m, n))
  )
  np.testing.assert_array_equal(GEMMS[layout](a, b, c), c)


def test_an_empty_product_launches_no_kernel():
  a, b = scaled(4, 0, DEFAULT[0], 1), scaled(5, 0, DEFAULT[1], 5)
  traced = jax.jit(dg.fp8_gemm_nt).trace(a, b)
  text = traced.lower(lowering_platforms=("cuda",)).as_text()
  assert "custom_call" not in text


def test_a_nan_stays_in_its_row_and_column():
  a, b = scaled(6, 256, DEFAULT[0], 1), scaled(7, 256, DEFAULT[1], 5)
  poisoned = a.values.copy()
  poisoned[2, 200] = np.nan
  d = np.asarray(dg.fp8_gemm_nt((poisoned, a.scales), b, out_dtype=jnp.float32))
  assert np.all(np.isnan(d[2]))
  assert not np.any(np.isnan(np.delete(d, 2, axis=0)))


def test_the_shape_is_known_without_computing():
  a, b = scaled(6, 256, DEFAULT[0], 1), scaled(7, 256, DEFAULT[1], 5)
  shape = jax.eval_shape(dg.fp8_gemm_nt, a, b)
  computed = jax.jit(dg.fp8_gemm_nt)(a, b)
  assert (shape.shape, shape.dtype) == (computed.shape, computed.dtype)


def test_the_reference_never_holds_a_product_per_block_of_k():
  m, n, k = 1024, 1024, 2048
  a = jax.ShapeDtypeStruct((m, k), jnp.float8_e4m3fn)
  sf = jax.ShapeDtypeStruct((m, k // 128), jnp.float32)
  products = 4 * m * n * (k // 128)
  f = jax.jit(
    lambda *args: dg.fp8_gemm_nt(
      args[:2], args[2:], recipe=(1, 1, 128), out_dtype=jnp.float32
    )
  )
  memory = f.lower(a, sf, a, sf).compile().memory_analysis()
  assert memory.temp_size_in_bytes < products / 2


def test_codes_cover_the_format():
  found = np.unique(codes((100, 100), 0).view(np.uint8))
  assert len(found) == 254
