"""fp8_ragged_dot: values and gradients against the formula, group by group."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.dot import dot_oracle
from tests.dot.dot_oracle import cosine, normal
from tests.primitives.gemm_oracle import assert_is_product

SIZES = np.array([5, 0, 140, 1], np.int32)
TAIL = 6


@functools.partial(jax.jit, static_argnames="residuals")
def pullback(x, w, sizes, dy, residuals="fp8"):
  def f(x, w):
    return dg.fp8_ragged_dot(x, w, sizes, residuals=residuals)

  y, vjp = jax.vjp(f, x, w)
  return y, *vjp(dy)


def operands(k, n, dtype):
  """Returns x, w and dy; rows of no group hold NaN."""
  m = SIZES.sum() + TAIL
  x, dy = normal((m, k), 0), normal((m, n), 2)
  x[-TAIL:], dy[-TAIL:] = np.nan, np.nan
  w = normal((len(SIZES), k, n), 1)
  return [jnp.asarray(v, dtype) for v in (x, w, dy)]


@pytest.mark.parametrize(
  ("dtype", "residuals", "k", "n"),
  [(jnp.bfloat16, "fp8", 150, 40), (jnp.float32, "bf16", 7, 130)],
)
def test_gradients_are_those_of_the_formula(dtype, residuals, k, n):
  x, w, dy = operands(k, n, dtype)
  y, dx, dw = pullback(x, w, SIZES, dy, residuals=residuals)
  assert (y.dtype, dx.dtype, dw.dtype) == (dtype,) * 3
  ends = np.cumsum(SIZES)
  for g, (start, end) in enumerate(zip(ends - SIZES, ends, strict=True)):
    rows = slice(start, end)
    if start == end:
      np.testing.assert_array_equal(np.asarray(dw[g], float), 0)
      continue
    assert_is_product(y[rows], *dot_oracle.product(x[rows], w[g]))
    assert_is_product(dx[rows], *dot_oracle.gradient_of_x(dy[rows], w[g]))
    assert_is_product(dw[g], *dot_oracle.gradient_of_w(x[rows], dy[rows]))
  for v in (y, dx):
    np.testing.assert_array_equal(np.asarray(v[-TAIL:], float), 0)


def test_gradients_are_near_those_of_the_plain_dot():
  rng = np.random.default_rng(0)
  m = SIZES.sum() + TAIL
  x, w, dy = (
    jnp.asarray(rng.normal(size=s), jnp.bfloat16)
    for s in [(m, 150), (len(SIZES), 150, 40), (m, 40)]
  )
  found = pullback(x, w, SIZES, dy)
  y, vjp = jax.vjp(lambda x, w: jax.lax.ragged_dot(x, w, SIZES), x, w)
  for v, u in zip(found, (y, *vjp(dy)), strict=True):
    assert cosine(v, u) > 0.995


def test_sizes_of_any_integer_dtype_are_cut_to_the_rows():
  x, w, dy = operands(150, 40, jnp.bfloat16)
  expected = pullback(x, w, SIZES, dy)
  pairs = [
    (pullback(x, w, SIZES.astype(dtype), dy), expected)
    for dtype in (np.uint8, np.int16)
  ]
  # More than there are, and fewer than none.
  x, dy = x[:-TAIL], dy[:-TAIL]
  sizes = np.array([5, -3, 2**31 - 1, 9], np.int32)
  cut = np.array([5, 0, len(x) - 5, 0], np.int32)
  pairs.append((pullback(x, w, sizes, dy), pullback(x, w, cut, dy)))
  for found, expected in pairs:
    for v, u in zip(found, expected, strict=True):
      np.testing.assert_array_equal(
        np.asarray(v, np.float32), np.asarray(u, np.float32)
      )


def test_zero_sizes_are_legal():
  for lhs, rhs in (
    ((0, 5), (2, 5, 6)),
    ((3, 0), (2, 0, 6)),
    ((3, 5), (2, 5, 0)),
    ((3, 5), (0, 5, 6)),
  ):
    main = jnp.ones(rhs, jnp.float32)
    sizes = jnp.full(rhs[0], lhs[0] // 2, jnp.int32)

    def f(x, w, main, sizes=sizes):
      return dg.fp8_ragged_dot(x, w, sizes, main_grad=main).sum()

    g = jax.jit(jax.grad(f, (0, 2)))
    gradients = g(jnp.zeros(lhs), jnp.zeros(rhs), main)
    assert gradients[0].shape == lhs
    np.testing.assert_array_equal(gradients[1], main)


def test_vmap_of_grad_is_the_loop():
  x, w, _ = operands(30, 20, jnp.float32)
  x, sizes = jnp.stack([x, 2 * x]), np.stack([SIZES, SIZES[::-1]])

  def f(x, w, sizes):
    return (dg.fp8_ragged_dot(x, w, sizes) ** 2).sum()

  g = jax.grad(f, (0, 1))
  found = jax.jit(jax.vmap(g, (0, None, 0)))(x, w, sizes)
  single = jax.jit(g)
  for i in range(2):
    expected = single(x[i], w, sizes[i])
    for v, u in zip(found, expected, strict=True):
      np.testing.assert_allclose(v[i], u, rtol=1e-5, atol=1e-3)
