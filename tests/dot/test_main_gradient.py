"""Gradients of weights that are added to a float32 array."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.dot.dot_oracle import normal
from tests.primitives.cuda_lowering import lowered_for_cuda

FLAX = (((1,), (0,)), ((), ()))
SIZES = np.array([20, 0, 44], np.int32)


def dense(x, w, main=None, **settings):
  return dg.fp8_dot_general(x, w, FLAX, main_grad=main, **settings)


def ragged(x, w, main=None, **settings):
  return dg.fp8_ragged_dot(x, w, SIZES, main_grad=main, **settings)


X = jnp.asarray(normal((2, 64, 140), 0), jnp.bfloat16)
WEIGHTS = {
  dense: jnp.asarray(normal((140, 200), 1), jnp.bfloat16),
  ragged: jnp.asarray(normal((3, 140, 200), 1), jnp.bfloat16),
}
by_op = pytest.mark.parametrize("op", WEIGHTS, ids=["dense", "ragged"])


def loss(op, x, w, main, **settings):
  y = op(x, w, main, preferred_element_type=jnp.float32, **settings)
  return (y * jnp.cos(jnp.arange(y.shape[1], dtype=jnp.float32))).sum()


@by_op
def test_microbatches_add_up(op):
  w = WEIGHTS[op]
  start = jnp.asarray(normal(w.shape, 2))

  @jax.jit
  def accumulate(main):
    def step(main, x):
      return jax.grad(functools.partial(loss, op), argnums=2)(x, w, main), None

    return jax.lax.scan(step, main, X)[0]

  @jax.jit
  def gradient(x):
    # In float32, so that it is not rounded.
    return jax.grad(lambda w: loss(op, x, w, None))(w.astype(jnp.float32))

  expected = start + gradient(X[0]) + gradient(X[1])
  found = accumulate(start)
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@by_op
def test_the_weight_itself_has_no_gradient_then(op):
  w = WEIGHTS[op]
  main = jnp.zeros(w.shape, jnp.float32)
  f = functools.partial(loss, op)
  dx, dw, dmain = jax.jit(jax.grad(f, (0, 1, 2)))(X[0], w, main)
  wanted = jax.jit(jax.grad(f))(X[0], w, None)
  np.testing.assert_array_equal(
    np.asarray(dx, np.float32), np.asarray(wanted, np.float32)
  )
  assert dw.dtype == w.dtype
  assert not np.any(np.asarray(dw, np.float32))
  assert np.any(np.asarray(dmain))


@by_op
def test_a_gradient_that_would_be_lost_is_refused(op):
  w = WEIGHTS[op]
  main = jnp.zeros(w.shape, jnp.float32)
  with pytest.raises(ValueError, match="rhs is differentiated and main_grad"):
    jax.grad(functools.partial(loss, op), argnums=1)(X[0], w, main)


def test_a_main_gradient_is_not_added_for_each_element_of_a_vmap():
  w = WEIGHTS[dense]
  f = functools.partial(loss, dense)

  def total(main):
    return jax.vmap(lambda x: f(x, w, main))(X).sum()

  main = jnp.zeros(w.shape, jnp.float32)
  with pytest.raises(ValueError, match="shared by the elements of a vmap"):
    jax.grad(total)(main)
  # Each element may have its own.
  g = jax.jit(jax.grad(f, argnums=2))
  mains = jnp.stack([main, main + 1])
  found = jax.jit(jax.vmap(jax.grad(f, argnums=2), (0, None, 0)))(X, w, mains)
  for i in range(2):
    expected = g(X[i], w, mains[i])
    np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-3)


@by_op
def test_the_sum_is_written_over_a_donated_array(op):
  w = WEIGHTS[op]
  main = jnp.zeros(w.shape, jnp.float32)
  with dg.options(device="NVIDIA H200"):
    text = lowered_for_cuda(
      jax.grad(functools.partial(loss, op), argnums=2),
      *(X[0], w, main),
      donate_argnums=(2,),
    )
  # The argument's buffer is the result's, and the launch writes over it:
  # nothing between the two computes a value of that shape.
  argument = next(a for a in text.split("%arg") if "tf.aliasing_output" in a)
  assert "xf32>" in argument
  (line,) = (
    v for v in text.splitlines() if "custom_call" in v and "operand_index" in v
  )
  shape = "x".join(map(str, w.shape))
  assert f"tensor<{shape}xf32>" in line.split("->")[-1] or op is dense
  computed = [
    v
    for v in text.splitlines()
    if f"-> tensor<{shape}xf32>" in v
    and "func.func" not in v
    and "custom_call" not in v
    and "call @" not in v
  ]
  assert all("stablehlo.reshape" in v for v in computed), computed
