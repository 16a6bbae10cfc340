"""fp8_fp4_gemm_* on the CPU against a float64 oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.testing import calc_diff
from tests.primitives.cuda_lowering import lowered_for_cuda, product_launches
from tests.primitives.fp4_oracle import (
  dequantized_fp4,
  fp4,
  scales_of,
  transposed_fp4,
)
from tests.primitives.gemm_oracle import assert_is_product, dequantized, scaled

PER_TOKEN = (1, 128)
GEMMS = {
  "nt": dg.fp8_fp4_gemm_nt,
  "nn": dg.fp8_fp4_gemm_nn,
  "tn": dg.fp8_fp4_gemm_tn,
  "tt": dg.fp8_fp4_gemm_tt,
}
SHAPES = [(2, 2, 1), (6, 10, 7), (130, 128, 300), (18, 130, 641), (64, 96, 256)]


def transposed(operand):
  return dg.ScaledArray(operand.values.T, operand.scales.T)


def placed(layout, a, b, k):
  """Returns operands `[m, k]` and `[n, k]` as `layout` has them."""

  def flip(x):
    return transposed_fp4(x, k) if x.values.dtype == np.int8 else transposed(x)

  a = flip(a) if layout[0] == "t" else a
  return a, flip(b) if layout[1] == "n" else b


def random_c(m, n, dtype=np.float32):
  return np.random.default_rng(9).normal(size=(m, n)).astype(dtype)


@pytest.mark.parametrize("layout", GEMMS)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
@pytest.mark.parametrize("fp4_side", ["a", "b"])
def test_the_product_is_that_of_the_dequantised_operands(
  layout, m, n, k, fp4_side
):
  if fp4_side == "a":
    a, b = fp4(m, k, 5), scaled(n, k, PER_TOKEN, 1)
    exact = dequantized_fp4(a, k), dequantized(b, PER_TOKEN)
  else:
    a, b = scaled(m, k, PER_TOKEN, 1), fp4(n, k, 5)
    exact = dequantized(a, PER_TOKEN), dequantized_fp4(b, k)
  operands = placed(layout, a, b, k)
  c = random_c(m, n)
  d = GEMMS[layout](*operands, c)
  assert_is_product(d, *exact, c.astype(np.float64))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("with_c", [False, True])
@pytest.mark.parametrize("fp4_side", ["a", "b"])
def test_the_result_is_rounded_once_to_its_dtype(dtype, with_c, fp4_side):
  fp8, packed = scaled(70, 300, PER_TOKEN, 1), fp4(90, 300, 5)
  exact = dequantized(fp8, PER_TOKEN), dequantized_fp4(packed, 300)
  operands = (fp8, packed)
  if fp4_side == "a":
    operands, exact = operands[::-1], exact[::-1]
  c = random_c(*(len(x) for x in exact), dtype) if with_c else None
  d = dg.fp8_fp4_gemm_nt(*operands, c, out_dtype=dtype)
  assert d.dtype == dtype
  assert_is_product(d, *exact, c.astype(np.float64) if with_c else None)


def as_float(operand, blocks):
  return dg.ScaledArray(
    operand.values, scales_of(operand)[:, :blocks].astype(np.float32)
  )


def test_float32_scales_are_multiplied_exactly_too():
  a, b = scaled(9, 300, PER_TOKEN, 1), fp4(12, 300, 5)
  d = dg.fp8_fp4_gemm_nt(a, as_float(b, 10), out_dtype=jnp.float32)
  assert_is_product(d, dequantized(a, PER_TOKEN), dequantized_fp4(b, 300))


@pytest.mark.parametrize("recipe", [(1, 128), (128, 128)])
@pytest.mark.parametrize("packed", [False, True])
def test_fp4_may_have_scales_of_128_columns(recipe, packed):
  k = 320
  a, b = scaled(9, k, PER_TOKEN, 1), fp4(130, k, 5)
  blocks = (-(-130 // recipe[0]), 3)
  exponents = np.random.default_rng(2).integers(115, 125, blocks)
  scales = np.ldexp(np.float32(1), exponents - 127).astype(np.float32)
  codes = dequantized_fp4(
    dg.ScaledArray(b.values, np.full_like(b.scales, 0x7F7F7F7F)), k
  )
  exact = codes * np.kron(scales, np.ones(recipe))[:130, :k]
  if packed:
    missing = np.ones((blocks[0], 1), np.float32)
    scales = dg.pack_ue8m0_to_int(jnp.hstack([scales, missing]))
  d = dg.fp8_fp4_gemm_nt(
    a,
    (b.values, scales),
    recipe_a=PER_TOKEN,
    recipe_b=recipe,
    out_dtype="float32",
  )
  assert_is_product(d, dequantized(a, PER_TOKEN), exact)


def test_a_packed_scale_byte_of_255_is_nan_for_128_columns_too():
  a, b = scaled(4, 512, PER_TOKEN, 1), fp4(6, 512, 5)
  scales = np.full((6, 4), 127, np.uint8)
  scales[2, 3] = 255
  pair = (b.values, scales.view(np.int32))
  d = np.asarray(dg.fp8_fp4_gemm_nt(a, pair, recipe=(1, 1, 128)), np.float32)
  np.testing.assert_array_equal(np.isnan(d).all(axis=0), np.arange(6) == 2)
  np.testing.assert_array_equal(np.isnan(d).any(axis=0), np.arange(6) == 2)


def test_both_sides_may_be_fp4():
  a, b = fp4(9, 300, 1), fp4(12, 300, 5)
  d = dg.fp8_fp4_gemm_nt(a, b, out_dtype=jnp.float32)
  assert_is_product(d, dequantized_fp4(a, 300), dequantized_fp4(b, 300))


@pytest.mark.parametrize("recipe_a", [(1, 32), (128, 128)])
def test_fp8_may_have_any_recipe_next_to_fp4(recipe_a):
  a, b = scaled(130, 300, recipe_a, 1), fp4(12, 300, 5)
  d = dg.fp8_fp4_gemm_nt(
    a, b, recipe_a=recipe_a, recipe_b=(1, 32), out_dtype=jnp.float32
  )
  assert_is_product(d, dequantized(a, recipe_a), dequantized_fp4(b, 300))


@pytest.mark.parametrize("layout", GEMMS)
def test_without_fp4_it_is_the_fp8_product(layout):
  a, b = scaled(6, 256, PER_TOKEN, 1), scaled(130, 256, (128, 128), 5)
  a = transposed(a) if layout[0] == "t" else a
  b = transposed(b) if layout[1] == "n" else b
  c = random_c(6, 130)
  np.testing.assert_array_equal(
    GEMMS[layout](a, b, c), getattr(dg, f"fp8_gemm_{layout}")(a, b, c)
  )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("recipe", [(1, 128), (128, 128)])
def test_a_plain_side_is_quantised_with_its_recipe(dtype, recipe):
  x = jnp.asarray(np.random.default_rng(3).normal(size=(20, 141)), dtype)
  b = fp4(12, 141, 5)
  per_token = recipe[0] == 1
  cast = dg.per_token_cast_to_fp8 if per_token else dg.per_block_cast_to_fp8
  kwargs = {"recipe_a": recipe, "recipe_b": (1, 32)}
  np.testing.assert_array_equal(
    dg.fp8_fp4_gemm_nt(x, b, **kwargs), dg.fp8_fp4_gemm_nt(cast(x), b, **kwargs)
  )


def test_what_the_cast_returns_approximates_the_product():
  x, w = (
    jnp.asarray(np.random.default_rng(i).normal(size=(s, 512)), jnp.float32)
    for i, s in ((0, 33), (1, 48))
  )
  packed = dg.per_token_cast_to_fp4(w, True, 32, True)
  found = np.asarray(dg.fp8_fp4_gemm_nt(x, packed, out_dtype=jnp.float32))
  exact = np.asarray(x, np.float64) @ np.asarray(w, np.float64).T
  assert calc_diff(found, exact) < 1e-2


@pytest.mark.parametrize(("m", "n", "k"), [(0, 4, 8), (4, 0, 8), (4, 6, 0)])
@pytest.mark.parametrize("layout", GEMMS)
def test_an_empty_size_gives_zero_or_c(layout, m, n, k):
  operands = placed(layout, scaled(m, k, PER_TOKEN, 1), fp4(n, k, 5), k)
  c = random_c(m, n)
  np.testing.assert_array_equal(
    GEMMS[layout](*operands, out_dtype=jnp.float32), np.zeros((m, n))
  )
  np.testing.assert_array_equal(GEMMS[layout](*operands, c), c)


A, B = scaled(4, 256, PER_TOKEN, 1), fp4(6, 256, 5)


SCALES, SHORT = B.scales.astype(np.int16), B.scales[:, :1]
WRONG_C = np.ones((4, 5), np.float32)
WRONG_OPERANDS = [
  (A, (B.values, SHORT), ValueError, "int32 packed scales of b must have"),
  (A, (B.values, SCALES), TypeError, "scales of b must be float32, or int32"),
  (A, (B.values[0], B.scales), ValueError, r"\[n, k / 2\], got \(128,\)"),
  (A, fp4(6, 260, 5), ValueError, "the same k, got 256 and 260"),
  (fp4(6, 260, 5), A, ValueError, "the same k, got 260 and 256"),
  (A, (B.values, 3), TypeError, "scales of b must be an array, got int"),
  (A, B.values, TypeError, "b must be .*got int8"),
  ((A.values, SHORT[:2]), B, ValueError, "int32 packed scales of a must have"),
]
WRONG_SETTINGS = [
  ({"recipe_a": (1, 128)}, ValueError, "given together"),
  ({"recipe": (1, 64, 128)}, ValueError, "recipe must have a scale for"),
  ({"out_dtype": "float16"}, TypeError, "out_dtype must be bfloat16"),
  ({"c": WRONG_C}, ValueError, r"\[m, n\] = \(4, 6\), got \(4, 5\)"),
]


@pytest.mark.parametrize(("a", "b", "error", "message"), WRONG_OPERANDS)
def test_wrong_operands_are_named(a, b, error, message):
  with pytest.raises(error, match=message):
    dg.fp8_fp4_gemm_nt(a, b)


@pytest.mark.parametrize(("kwargs", "error", "message"), WRONG_SETTINGS)
def test_wrong_settings_are_named(kwargs, error, message):
  with pytest.raises(error, match=message):
    dg.fp8_fp4_gemm_nt(A, B, **kwargs)


def test_transposed_values_tell_k():
  a = dg.ScaledArray(A.values[:, :255], A.scales)
  with pytest.raises(ValueError, match="the same k, got 255 and 256"):
    dg.fp8_fp4_gemm_nn(a, transposed_fp4(B, 256))


@pytest.mark.parametrize(
  "b", [as_float(B, 8), fp4(4, 256, 1)], ids=["float32", "fp4 and fp4"]
)
def test_what_hopper_cannot_read_says_how_to_pack(b):
  a = B if b.scales.dtype == np.int32 else A
  with pytest.raises(
    NotImplementedError,
    match=r"pack_ue8m0_to_int.*implementation='reference'",
  ):
    lowered_for_cuda(dg.fp8_fp4_gemm_nt, a, b)


def test_scales_of_128_columns_have_the_kernel_of_fp8():
  b = dg.ScaledArray(B.values, np.ones((6, 2), np.float32))

  def f(a, b):
    return dg.fp8_fp4_gemm_nt(a, b, recipe=(1, 1, 128))

  assert len(product_launches(lowered_for_cuda(f, A, b))) == 1


def test_it_can_be_exported_and_called():
  exported = jax.export.export(jax.jit(dg.fp8_fp4_gemm_nt))(A, B)
  operands = jax.tree.map(jnp.asarray, (A, B))
  np.testing.assert_array_equal(
    exported.call(*operands), dg.fp8_fp4_gemm_nt(*operands)
  )
