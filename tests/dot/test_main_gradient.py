"""Gradients of weights that are added to a float32 array."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.dot.dot_oracle import normal
from tests.primitives.cuda_lowering import launches, lowered_for_cuda

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
  main = jnp.full(w.shape, jnp.nan, jnp.float32)
  f = functools.partial(loss, op)
  y, (dx, dw, dmain) = jax.jit(jax.value_and_grad(f, (0, 1, 2)))(X[0], w, main)
  assert np.isfinite(y)
  wanted = jax.jit(jax.grad(f))(X[0], w, None)
  np.testing.assert_array_equal(
    np.asarray(dx, np.float32), np.asarray(wanted, np.float32)
  )
  assert dw.dtype == w.dtype
  assert not np.any(np.asarray(dw, np.float32))
  assert np.all(np.isnan(dmain))


@by_op
def test_a_gradient_that_would_be_lost_is_refused(op):
  w = WEIGHTS[op]
  main = jnp.zeros(w.shape, jnp.float32)
  gradient = jax.grad(functools.partial(loss, op), argnums=1)
  with pytest.raises(ValueError, match="rhs is differentiated and main_grad"):
    jax.eval_shape(gradient, X[0], w, main)


def test_a_main_gradient_is_not_added_for_each_element_of_a_vmap():
  w = WEIGHTS[dense]
  f = functools.partial(loss, dense)

  def total(main):
    return jax.vmap(lambda x: f(x, w, main))(X).sum()

  main = jnp.zeros(w.shape, jnp.float32)
  with pytest.raises(ValueError, match="shared by the elements of a vmap"):
    jax.eval_shape(jax.grad(total), main)
  # Each element may have its own.
  g = jax.jit(jax.grad(f, argnums=2))
  mains = jnp.stack([main, main + 1])
  found = jax.jit(jax.vmap(jax.grad(f, argnums=2), (0, None, 0)))(X, w, mains)
  for i in range(2):
    expected = g(X[i], w, mains[i])
    np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-3)


def source(text, name):
  """Returns the value that `name` is a reshape of."""
  pattern = rf"^ *{name} = stablehlo\.(?:broadcast_in_dim|reshape) (%\w+)"
  found = re.search(pattern, text, re.MULTILINE)
  return source(text, found.group(1)) if found else name


@by_op
def test_the_sum_is_written_over_a_donated_array(op):
  shape = (256, 384) if op is dense else (3, 256, 384)
  arrays = (
    jax.ShapeDtypeStruct(shape, dtype)
    for shape, dtype in (
      ((64, 256), jnp.bfloat16),
      (shape, jnp.bfloat16),
      (shape, jnp.float32),
    )
  )
  with dg.options(device="NVIDIA H200"):
    gradient = jax.grad(functools.partial(loss, op), argnums=2)
    text = lowered_for_cuda(gradient, *arrays, donate_argnums=(2,))
  (line,) = (v for v in launches(text) if "output_operand_alias<" in v)
  operands = re.search(r"@jax_deepgemm_launch\((.*?)\)", line).group(1)
  index = int(re.search(r"operand_index = (\d+)", line).group(1))
  main = source(text, operands.split(", ")[index])
  # The array's memory is the launch's result, and that is the program's.
  assert re.search(rf"{main}: tensor<\S+xf32> {{tf.aliasing_output = 0", text)
  result = re.search(r"return (%\w+) :", text).group(1)
  assert line.strip().startswith(f"{source(text, result)} = ")
