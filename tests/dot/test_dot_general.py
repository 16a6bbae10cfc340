"""fp8_dot_general: values and gradients against the formula, and transforms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.dot import dot_oracle
from tests.dot.dot_oracle import cosine, normal
from tests.primitives.gemm_oracle import assert_is_product

FLAX = (((1,), (0,)), ((), ()))
TORCH = (((1,), (1,)), ((), ()))


@functools.partial(jax.jit, static_argnums=(0,), static_argnames=("settings",))
def pullback(dimension_numbers, lhs, rhs, dy, settings=()):
  """Returns the product and the cotangents of lhs and rhs."""

  def f(lhs, rhs):
    return dg.fp8_dot_general(lhs, rhs, dimension_numbers, **dict(settings))

  y, vjp = jax.vjp(f, lhs, rhs)
  return y, *vjp(dy)


def same(found, expected):
  for x, y in zip(found, expected, strict=True):
    np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.parametrize(
  ("shape", "dtype", "dimension_numbers", "residuals"),
  [
    ((140, 200, 300), jnp.bfloat16, FLAX, "fp8"),
    ((140, 200, 300), jnp.float32, FLAX, "bf16"),
    ((3, 130, 7), jnp.float32, TORCH, "fp8"),
    ((140, 200, 300), jnp.bfloat16, TORCH, "bf16"),
  ],
)
def test_gradients_are_those_of_the_formula(
  shape, dtype, dimension_numbers, residuals
):
  m, n, k = shape
  x, w, dy = normal((m, k), 0), normal((k, n), 1), normal((m, n), 2)
  x, w, dy = (jnp.asarray(v, dtype) for v in (x, w, dy))
  turn = (lambda v: v.T) if dimension_numbers == TORCH else (lambda v: v)
  y, dx, dw = pullback(
    dimension_numbers, x, turn(w), dy, settings=(("residuals", residuals),)
  )
  assert (y.dtype, dx.dtype, dw.dtype) == (dtype,) * 3
  assert_is_product(y, *dot_oracle.product(x, w))
  assert_is_product(dx, *dot_oracle.gradient_of_x(dy, w))
  assert_is_product(turn(dw), *dot_oracle.gradient_of_w(x, dy))


def test_gradients_are_near_those_of_the_plain_dot():
  x, w, dy = (
    jnp.asarray(np.random.default_rng(i).normal(size=s), jnp.bfloat16)
    for i, s in enumerate([(140, 300), (300, 200), (140, 200)])
  )
  found = pullback(FLAX, x, w, dy)
  y, vjp = jax.vjp(lambda x, w: jax.lax.dot_general(x, w, FLAX), x, w)
  for v, u in zip(found, (y, *vjp(dy)), strict=True):
    assert cosine(v, u) > 0.995


@pytest.mark.parametrize(
  ("lhs", "rhs", "dimension_numbers"),
  [
    ((4, 3, 5, 40), (40, 3, 7, 5), (((3,), (0,)), ((1, 2), (1, 3)))),
    ((20, 4, 9, 3), (9, 3, 7, 4), (((3, 1, 2), (1, 3, 0)), ((), ()))),
    ((30, 6), (30, 9), (((0,), (0,)), ((), ()))),
    ((30,), (30,), (((0,), (0,)), ((), ()))),
    ((3, 5), (2, 4), (((), ()), ((), ()))),
  ],
  ids=["batch", "many", "first", "vectors", "outer"],
)
def test_every_order_of_dimensions_is_that_of_the_plain_dot(
  lhs, rhs, dimension_numbers
):
  # Exact in fp8: products of small powers of two, with one scale.
  rng = np.random.default_rng(0)
  lhs, rhs = (jnp.asarray(rng.choice([1.0, 448], s)) for s in (lhs, rhs))
  lhs, rhs = lhs.astype(jnp.float32), rhs.astype(jnp.float32)

  def plain(lhs, rhs):
    return jax.lax.dot_general(lhs, rhs, dimension_numbers)

  y, vjp = jax.vjp(plain, lhs, rhs)
  dy = jnp.asarray(rng.choice([1.0, 448], y.shape), jnp.float32)
  found = pullback(dimension_numbers, lhs, rhs, dy)
  for v, u in zip(found, (y, *vjp(dy)), strict=True):
    assert v.shape == u.shape
    np.testing.assert_allclose(v, u, rtol=1e-5)


def test_zero_sizes_are_legal():
  for lhs, rhs in (((0, 5), (5, 6)), ((3, 0), (0, 6)), ((3, 5), (5, 0))):
    main = jnp.ones(rhs, jnp.float32)

    def f(x, w, main):
      return dg.fp8_dot_general(x, w, FLAX, main_grad=main).sum()

    x, w = jnp.zeros(lhs), jnp.zeros(rhs)
    y, (dx, dw, dmain) = jax.value_and_grad(f, (0, 1, 2))(x, w, main)
    assert (y, dx.shape, dw.shape) == (0, lhs, rhs)
    np.testing.assert_array_equal(dmain, main)


def test_float16_is_computed_as_float32():
  x, w, dy = normal((20, 150), 0), normal((150, 30), 1), normal((20, 30), 2)
  x, w, dy = (v.astype(np.float16) for v in (x, w, dy))
  found = pullback(FLAX, x, w, dy)
  expected = pullback(FLAX, *(v.astype(np.float32) for v in (x, w, dy)))
  assert [v.dtype for v in found] == [jnp.float16] * 3
  same(found, [v.astype(jnp.float16) for v in expected])


def test_the_result_has_the_dtype_asked_for():
  x, w = (jnp.ones((4, 8), d) for d in (jnp.bfloat16, jnp.float32))
  assert dg.fp8_dot_general(x, w, TORCH).dtype == jnp.float32
  assert dg.fp8_dot_general(x, x, TORCH).dtype == jnp.bfloat16
  for dtype in (jnp.float32, jnp.float16):
    y = dg.fp8_dot_general(x, x, TORCH, None, dtype)
    assert y.dtype == dtype


X, W = normal((3, 6, 140), 0), normal((3, 140, 130), 1)


def loss(x, w):
  return (dg.fp8_dot_general(x, w, FLAX) ** 2).sum()


@functools.cache
def single():
  return [jax.jit(jax.grad(loss, (0, 1)))(X[i], W[i]) for i in range(3)]


def assert_are_single(found):
  for i, expected in enumerate(single()):
    for v, u in zip(found, expected, strict=True):
      np.testing.assert_allclose(v[i], u, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
  "transform",
  [
    lambda: jax.vmap(jax.grad(loss, (0, 1))),
    lambda: jax.grad(lambda x, w: jax.vmap(loss)(x, w).sum(), (0, 1)),
    lambda: (
      lambda x, w: jax.lax.map(
        lambda v: jax.grad(jax.checkpoint(loss), (0, 1))(*v), (x, w)
      )
    ),
    lambda: jax.grad(
      lambda x, w: jax.lax.scan(
        lambda total, v: (total + jax.checkpoint(loss)(*v), None), 0.0, (x, w)
      )[0],
      (0, 1),
    ),
  ],
  ids=["vmap of grad", "grad of vmap", "map of grad", "grad of scan"],
)
def test_transformations_change_no_gradient(transform):
  assert_are_single(jax.jit(transform())(X, W))


def test_any_operands_may_be_differentiated_in_any_order():
  # One traced product serves all: each has its own set of residuals.
  def f(x, w):
    return (dg.fp8_gemm_nt(x, w, out_dtype=jnp.float32) ** 2).sum()

  for g, w in ((loss, W[0]), (f, W[0].T)):
    for argnums in (0, (0, 1)):
      jax.grad(g, argnums)(X[0], w)
    batched = jax.grad(lambda x, g=g, w=w: jax.vmap(lambda v: g(v, w))(x).sum())
    expected = jax.grad(g)(X[0], w)
    np.testing.assert_allclose(batched(X[:1])[0], expected, rtol=1e-5)


def test_it_has_no_forward_derivative():
  with pytest.raises(TypeError, match="forward-mode"):
    jax.jvp(lambda x: loss(x, W[0]), (X[0],), (X[0],))


def test_it_is_exported():
  exported = jax.export.export(jax.jit(jax.grad(loss, (0, 1))))(X[0], W[0])
  restored = jax.export.deserialize(exported.serialize())
  same(restored.call(X[0], W[0]), single()[0])
