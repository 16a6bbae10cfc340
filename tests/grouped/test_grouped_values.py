"""m-grouped GEMMs on the CPU against a float64 oracle."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.ue8m0 import pack_ue8m0_to_int
from tests.grouped.grouped_oracle import (
  BF16,
  FP8,
  LAYOUTS,
  Problem,
  assert_is_grouped_product,
  bf16_operands,
  multiply,
  operands,
  problem,
)

SIZES = {
  "some": ([5, 0, 17, 1], 6),
  "one group": ([33], 0),
  "one row": ([1], 0),
  "empty groups at both ends": ([0, 0, 3, 0], 2),
  "no rows in use": ([0, 0, 0], 19),
  "whole blocks": ([16, 48, 32], 0),
  "many groups": (list(np.random.default_rng(0).integers(0, 9, 40)), 3),
  "larger than a tile": ([300, 0, 129], 40),
}
by_layout = pytest.mark.parametrize("layout", LAYOUTS)
by_sizes = pytest.mark.parametrize(
  ("sizes", "spare"), SIZES.values(), ids=SIZES
)
RECIPES = {
  "1d1d": ((1, 128), (1, 128)),
  "1x32": ((1, 32), (1, 32)),
  "2d1d": ((128, 128), (1, 128)),
  "2d2d": ((128, 128), (128, 128)),
}


@by_layout
@by_sizes
def test_each_row_is_multiplied_with_the_b_of_its_group(layout, sizes, spare):
  p = problem(layout, sizes, spare=spare)
  a, b = operands(p, 37, 300)
  d = multiply(FP8, p, a, b, out_dtype=jnp.float32)
  assert_is_grouped_product(d, a, b, p)
  a, b = bf16_operands(p, 37, 70)
  d = multiply(BF16, p, a, b, out_dtype=jnp.float32)
  assert_is_grouped_product(d, a, b, p)


@by_layout
def test_the_result_is_rounded_once_to_bfloat16_by_default(layout):
  p = problem(layout, [5, 0, 17, 1], spare=3)
  for functions, make in ((FP8, operands), (BF16, bf16_operands)):
    a, b = make(p, 37, 300)
    d = multiply(functions, p, a, b)
    assert d.dtype == jnp.bfloat16
    assert_is_grouped_product(d, a, b, p)


@by_layout
@pytest.mark.parametrize(("n", "k"), [(1, 1), (129, 7), (3, 257), (256, 128)])
def test_any_n_and_k_will_do(layout, n, k):
  p = problem(layout, [5, 0, 17, 1], spare=3)
  a, b = operands(p, n, k)
  d = multiply(FP8, p, a, b, out_dtype=jnp.float32)
  assert_is_grouped_product(d, a, b, p)
  a, b = bf16_operands(p, n, k)
  d = multiply(BF16, p, a, b, out_dtype=jnp.float32)
  assert_is_grouped_product(d, a, b, p)


@pytest.mark.parametrize("layout", ["index", "psum"])
def test_the_alignment_is_128_unless_told_otherwise(layout):
  assert dg.get_mk_alignment_for_contiguous_layout() == 128
  p = problem(layout, [5, 140, 0, 17], alignment=128, spare=9)
  a, b = operands(p, 37, 130)
  d = dg.m_grouped_fp8_gemm_nt_contiguous(
    a, b, p.numbers, use_psum_layout=layout == "psum", out_dtype=jnp.float32
  )
  assert_is_grouped_product(d, a, b, p)


@pytest.mark.parametrize("layout", ["index", "psum", "ragged"])
@pytest.mark.parametrize("recipes", RECIPES.values(), ids=RECIPES)
def test_every_recipe_is_scaled_row_by_row(layout, recipes):
  p = problem(layout, [5, 0, 140, 31], spare=20)
  a, b = operands(p, 131, 300, recipes)
  d = multiply(
    FP8,
    p,
    a,
    b,
    out_dtype=jnp.float32,
    recipe_a=recipes[0],
    recipe_b=recipes[1],
  )
  assert_is_grouped_product(d, a, b, p, recipes)


@pytest.mark.parametrize("layout", ["index", "psum"])
def test_nn_transposes_values_and_scales(layout):
  p = problem(layout, [5, 0, 17, 1], spare=3)
  settings = {"use_psum_layout": layout == "psum", "out_dtype": jnp.float32}
  a, b = operands(p, 131, 200)
  flipped = dg.ScaledArray(b.values.swapaxes(1, 2), b.scales.swapaxes(1, 2))
  with dg.options(mk_alignment=16):
    d = dg.m_grouped_fp8_gemm_nn_contiguous(a, flipped, p.numbers, **settings)
  assert_is_grouped_product(d, a, b, p)
  a, b = bf16_operands(p, 131, 200)
  with dg.options(mk_alignment=16):
    d = dg.m_grouped_bf16_gemm_nn_contiguous(
      a, b.swapaxes(1, 2), p.numbers, **settings
    )
  assert_is_grouped_product(d, a, b, p)


@pytest.mark.parametrize("layout", ["ragged", "masked"])
@pytest.mark.parametrize(
  "numbers", [[5, -3, 4], [2**31 - 1] * 3, [-(2**31), 40, 7], [9, 9, 9]]
)
def test_sizes_that_do_not_fit_are_clamped(layout, numbers):
  p = Problem(layout, np.asarray(numbers, np.int32), 20, 3)
  a, b = operands(p, 9, 140)
  d = multiply(FP8, p, a, b, out_dtype=jnp.float32)
  assert_is_grouped_product(d, a, b, p)


@pytest.mark.parametrize(
  "ends", [[7, 3, 40], [-8, 20, 2**31 - 1], [2**31 - 1, 5, 48], [60, 70, 80]]
)
def test_ends_that_do_not_fit_are_clamped(ends):
  p = Problem("psum", np.asarray(ends, np.int32), 48, 3)
  a, b = operands(p, 9, 140)
  d = multiply(FP8, p, a, b, out_dtype=jnp.float32)
  assert_is_grouped_product(d, a, b, p)


def test_ids_out_of_range_are_no_group():
  ids = np.repeat(np.asarray([1, 3, -2, 0, 2**31 - 1], np.int32), 16)
  p = Problem("index", ids, 80, 3)
  a, b = operands(p, 9, 140)
  d = multiply(FP8, p, a, b, out_dtype=jnp.float32)
  assert_is_grouped_product(d, a, b, p)


@by_layout
def test_int64_numbers_stay_what_they_are(layout):
  p = problem(layout, [5, 0, 17, 1], spare=3)
  numbers = p.numbers.astype(np.int64)
  numbers[-1] += 2**33  # Its low 32 bits are those of the last size.
  clamped = np.clip(numbers, -1, 2**31 - 1).astype(np.int32)
  clamped = dataclasses.replace(p, numbers=clamped)
  a, b = operands(clamped, 9, 140)
  found = multiply(FP8, p, a, b, numbers=numbers)
  expected = multiply(FP8, clamped, a, b)
  np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
  "sizes", [[7, 0, 20, 9], [0, 0, 0, 0], [10, 10, 10, 20]]
)
def test_ragged_is_ragged_dot(sizes):
  rng = np.random.default_rng(0)
  a = jnp.asarray(rng.normal(size=(50, 70)), jnp.bfloat16)
  b = jnp.asarray(rng.normal(size=(4, 40, 70)), jnp.bfloat16)
  sizes = jnp.asarray(sizes, jnp.int32)
  found = dg.m_grouped_bf16_gemm_nt_ragged(a, b, sizes, out_dtype=jnp.float32)
  expected = jax.lax.ragged_dot(
    a, b.mT, sizes, preferred_element_type=jnp.float32
  )
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@by_layout
def test_packed_scales_are_unpacked_along_k(layout):
  def packed(operand):
    missing = -operand.scales.shape[-1] % 4
    padding = [(0, 0)] * (operand.scales.ndim - 1) + [(0, missing)]
    padded = np.pad(operand.scales, padding, constant_values=1)
    return operand.values, pack_ue8m0_to_int(jnp.asarray(padded))

  p = problem(layout, [5, 0, 17, 1], spare=3)
  a, b = operands(p, 9, 700)
  d = multiply(FP8, p, packed(a), packed(b), out_dtype=jnp.float32)
  assert_is_grouped_product(d, a, b, p)


@by_layout
@pytest.mark.parametrize("recipe", [(1, 128, 128), (1, 1, 32), (128, 128, 128)])
def test_plain_operands_are_quantised_with_the_recipe(layout, recipe):
  p = problem(layout, [5, 0, 17, 1], spare=3)
  a, b = bf16_operands(p, 131, 200)
  dead = (p.groups < 0).reshape(p.leading)
  a_clean = jnp.asarray(np.where(dead[..., None], 0, a))

  def cast(x, gran):
    if gran == 1:
      return dg.per_token_cast_to_fp8(x, gran_k=recipe[2])
    return dg.per_block_cast_to_fp8(x, gran_k=recipe[2])

  a_fp8 = cast(a_clean, recipe[0])
  b_fp8 = cast(jnp.asarray(b), recipe[1])
  expected = multiply(FP8, p, a_fp8, b_fp8, recipe=recipe)
  for left, right in ((a, b), (a, b_fp8), (a_fp8, b)):
    found = multiply(FP8, p, left, right, recipe=recipe)
    np.testing.assert_array_equal(found, expected)


@by_layout
@pytest.mark.parametrize(
  ("m", "n", "k", "g"), [(0, 4, 8, 2), (4, 0, 8, 2), (4, 5, 0, 2), (4, 5, 8, 0)]
)
def test_an_empty_size_gives_zero_and_launches_nothing(layout, m, n, k, g):
  length = m if layout == "index" else g
  p = Problem(layout, np.zeros(length, np.int32), m, g)
  a, b = np.zeros((*p.leading, k)), np.zeros((g, n, k))
  a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
  for functions in (FP8, BF16):
    d = multiply(functions, p, a, b)
    np.testing.assert_array_equal(d, np.zeros((*p.leading, n)))
    f = jax.jit(lambda *x, f=functions: multiply(f, p, *x))
    with dg.options(implementation="kernel"):
      text = f.trace(a, b).lower(lowering_platforms=("cuda",)).as_text()
    assert "custom_call" not in text


@by_layout
def test_a_nan_stays_in_its_row(layout):
  p = problem(layout, [5, 0, 17, 1])
  a, b = bf16_operands(p, 9, 140)
  live = np.flatnonzero(p.groups >= 0)
  a.reshape(-1, 140)[live[7]] = np.nan
  for functions in (FP8, BF16):
    d = np.asarray(multiply(functions, p, a, b)).reshape(-1, 9)
    is_nan = np.isnan(d.astype(np.float32)).all(axis=1)
    assert np.flatnonzero(is_nan).tolist() == [live[7]]
    assert not np.isnan(np.delete(d, live[7], 0).astype(np.float32)).any()


def test_the_reference_never_holds_a_b_per_row():
  m, n, k, g = 2048, 256, 512, 8
  a = jax.ShapeDtypeStruct((m, k), jnp.float8_e4m3fn)
  sfa = jax.ShapeDtypeStruct((m, k // 128), jnp.float32)
  b = jax.ShapeDtypeStruct((g, n, k), jnp.float8_e4m3fn)
  sfb = jax.ShapeDtypeStruct((g, n // 128, k // 128), jnp.float32)
  sizes = jax.ShapeDtypeStruct((g,), jnp.int32)

  @jax.jit
  def f(a, sfa, b, sfb, sizes):
    return dg.m_grouped_fp8_gemm_nt_ragged((a, sfa), (b, sfb), sizes)

  memory = f.lower(a, sfa, b, sfb, sizes).compile().memory_analysis()
  assert memory.temp_size_in_bytes < 4 * m * n + 8 * m * k
