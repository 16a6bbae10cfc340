"""Gradients of m-grouped GEMMs against their formula in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
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
from tests.primitives.gemm_oracle import assert_is_product, dequantized

ROW, SQUARE = (1, 128), (128, 128)
by_layout = pytest.mark.parametrize("layout", LAYOUTS)


def value(x, gran):
  """Returns what the quantised [rows, k] x stands for, in float64."""
  cast = dg.per_token_cast_to_fp8 if gran == ROW else dg.per_block_cast_to_fp8
  return dequantized(jax.tree.map(np.asarray, jax.jit(cast)(x)), gran)


def cotangent(p, n, dtype, seed=7):
  """Returns dY, NaN in the rows of no group."""
  dy = np.random.default_rng(seed).normal(size=(*p.leading, n)).astype(dtype)
  dy[(p.groups < 0).reshape(p.leading)] = np.nan
  return jnp.asarray(dy)


def pullback(functions, p, a, b, dy, **settings):
  def f(a, b):
    return multiply(functions, p, a, b, out_dtype=dy.dtype, **settings)

  return jax.jit(lambda a, b, dy: jax.vjp(f, a, b)[1](dy))(a, b, dy)


@by_layout
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_fp8_gradients_are_those_of_the_formula(layout, dtype):
  p = problem(layout, [5, 0, 140, 1], spare=3)
  a, b = (jnp.asarray(x, dtype) for x in bf16_operands(p, 150, 40))
  dy = cotangent(p, 150, dtype)
  da, db = pullback(FP8, p, a, b, dy)
  assert (da.dtype, db.dtype) == (dtype, dtype)
  for rows, g in of_groups(p):
    da_rows, dy_rows, a_rows = (flat(x)[rows] for x in (da, dy, a))
    assert_is_product(da_rows, value(dy_rows, ROW), value(b[g].T, SQUARE))
    if len(rows):
      left, right = value(dy_rows.T, ROW), value(a_rows.T, ROW)
      assert_is_product(db[g], left, right)
    else:
      np.testing.assert_array_equal(np.asarray(db[g], np.float32), 0)
  np.testing.assert_array_equal(np.asarray(flat(da)[p.groups < 0], float), 0)


@by_layout
def test_bf16_gradients_are_those_of_the_formula(layout):
  p = problem(layout, [5, 0, 140, 1], spare=3)
  a, b = map(jnp.asarray, bf16_operands(p, 30, 40))
  dy = cotangent(p, 30, jnp.bfloat16)
  da, db = pullback(BF16, p, a, b, dy)
  assert_is_grouped_product(np.asarray(da), np.asarray(dy), np.asarray(b.mT), p)
  for rows, g in of_groups(p):
    dy_rows, a_rows = (np.asarray(flat(x)[rows], float) for x in (dy, a))
    assert_is_product(db[g], dy_rows.T, a_rows.T)


def flat(x):
  return x.reshape(-1, x.shape[-1])


def of_groups(p: Problem):
  return [(np.flatnonzero(p.groups == g), g) for g in range(p.num_groups)]


@pytest.mark.parametrize("recipe", [(1, 1, 128), (1, 1, 32), (128, 128, 128)])
def test_every_recipe_has_gradients_near_the_unquantised_ones(recipe):
  p = problem("ragged", [5, 0, 140, 1], spare=3)
  a, b = map(jnp.asarray, bf16_operands(p, 150, 140))
  dy = cotangent(p, 150, jnp.float32)
  found = pullback(FP8, p, a, b, dy, recipe=recipe)
  expected = pullback(BF16, p, a, b, dy)
  for x, y in zip(found, expected, strict=True):
    x, y = np.asarray(x, float), np.asarray(y, float)
    assert np.linalg.norm(x - y) < 0.06 * np.linalg.norm(y)


def test_ragged_bf16_gradients_are_those_of_ragged_dot():
  p = problem("ragged", [5, 0, 40, 1])
  a, b = map(jnp.asarray, bf16_operands(p, 30, 40))
  dy = cotangent(p, 30, jnp.bfloat16)
  found = pullback(BF16, p, a, b, dy)

  def f(a, b):
    return jax.lax.ragged_dot(a, b.mT, jnp.asarray(p.numbers))

  expected = jax.vjp(f, a, b)[1](dy)
  for x, y in zip(found, expected, strict=True):
    np.testing.assert_allclose(
      np.asarray(x, float), np.asarray(y, float), rtol=2e-2, atol=2e-2
    )


@pytest.mark.parametrize("layout", ["index", "psum"])
def test_nn_has_the_transposed_gradient(layout):
  p = problem(layout, [5, 0, 17], spare=3)
  a, b = map(jnp.asarray, bf16_operands(p, 30, 40))
  dy = cotangent(p, 30, jnp.bfloat16)
  for nt, nn in (
    (FP8, dg.m_grouped_fp8_gemm_nn_contiguous),
    (BF16, dg.m_grouped_bf16_gemm_nn_contiguous),
  ):
    da, db = pullback({layout: nn}, p, a, b.mT, dy)
    expected = pullback(nt, p, a, b, dy)
    np.testing.assert_array_equal(da, expected[0])
    np.testing.assert_array_equal(db.mT, expected[1])


def test_a_quantised_weight_is_transposed_exactly():
  p = problem("ragged", [5, 0, 17], spare=3)
  a, _ = bf16_operands(p, 30, 140)
  _, b = operands(p, 150, 140)
  dy = cotangent(p, 150, jnp.float32)

  def f(a):
    return multiply(FP8, p, a, b, out_dtype=jnp.float32)

  (da,) = jax.jit(lambda a, dy: jax.vjp(f, a)[1](dy))(jnp.asarray(a), dy)
  for rows, g in of_groups(p):
    weight = dequantized(dg.ScaledArray(b.values[g], b.scales[g]), SQUARE)
    assert_is_product(da[rows], value(dy[rows], ROW), weight.T)


def test_a_quantised_operand_has_no_silent_gradient():
  p = problem("ragged", [5, 0, 17])
  a, b = map(jnp.asarray, bf16_operands(p, 30, 140))

  def both(a):
    return dg.per_token_cast_to_fp8(a), dg.per_block_cast_to_fp8(b)

  for make in (both, lambda a: (dg.per_token_cast_to_fp8(a), b)):
    with pytest.raises(TypeError, match="a is quantised and has no gradient"):
      jax.grad(
        lambda a, make=make: (
          multiply(FP8, p, *make(a)).astype(jnp.float32).sum()
        )
      )(a)


def test_second_derivatives_are_refused():
  p = problem("ragged", [5, 0, 17])
  a, b = map(jnp.asarray, bf16_operands(p, 30, 140))

  def f(a):
    return multiply(BF16, p, a, b, out_dtype=jnp.float32).sum() ** 2

  with pytest.raises(NotImplementedError, match="first derivatives only"):
    jax.jacfwd(jax.grad(f))(a)


def test_only_the_wanted_gradient_is_computed():
  p = problem("ragged", [5, 0, 17])
  a, b = map(jnp.asarray, bf16_operands(p, 30, 140))

  def f(a, b):
    return multiply(FP8, p, a, b).astype(jnp.float32).sum()

  jaxpr = functools.partial(jax.make_jaxpr, jax.grad(f))
  assert str(jaxpr()(a, b)).count("m_grouped_fp8_gemm[") == 2
  assert "while" not in str(jaxpr()(a, b))


def test_checkpoint_changes_no_gradient():
  p = problem("ragged", [5, 0, 17], spare=2)
  a, _ = bf16_operands(p, 30, 140)
  _, b = operands(p, 30, 140)
  assert np.max(np.abs(b.values.astype(np.float32))) == 448

  def f(a):
    return (multiply(FP8, p, a, b, out_dtype=jnp.float32) ** 2).sum()

  saved = jax.checkpoint_policies.everything_saveable
  found = jax.jit(jax.grad(jax.checkpoint(f, policy=saved)))(jnp.asarray(a))
  expected = jax.jit(jax.grad(f))(jnp.asarray(a))
  np.testing.assert_array_equal(found, expected)
