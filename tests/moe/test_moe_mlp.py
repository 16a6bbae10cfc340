"""`moe_mlp` on the reference path: values, gradients and what it refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.moe.moe_oracle import layer, quantized_layer

F8, BF16 = jnp.float8_e4m3fn, jnp.bfloat16


def value_and_pullback(operands, dy, **settings):
  """Returns the result, and the gradients of x and the weights."""
  *arrays, sizes = map(jnp.asarray, operands)

  @jax.jit
  def run(arrays, sizes, dy):
    y, pull = jax.vjp(
      lambda *arrays: dg.moe_mlp(*arrays, sizes, **settings), *arrays
    )
    return y, pull(dy)

  return run(arrays, sizes, jnp.asarray(dy))


def cotangent(operands, seed=9):
  dy = np.random.default_rng(seed).normal(
    size=(len(operands.x), operands.w_down.shape[2])
  )
  dy[operands.sizes.sum() :] = np.nan
  return dy.astype(operands.x.dtype)


def assert_near(found, expected, tolerance):
  found, expected = np.asarray(found, float), np.asarray(expected, float)
  error = np.linalg.norm(found - expected)
  assert error <= tolerance * np.linalg.norm(expected), error


def test_values_and_gradients_are_those_of_the_quantised_formula():
  operands = layer([5, 0, 140], d=72, f=136, n=40, spare=3)
  dy = cotangent(operands)
  y, found = value_and_pullback(operands, dy)
  expected_y, expected = quantized_layer(operands, dy)
  # Codes next to a tie may differ: the activation is a function of float32
  # sums whose order is not the oracle's.
  assert_near(y, expected_y, 2e-3)
  for x, x_expected in zip(found, expected, strict=True):
    assert_near(x, x_expected, 2e-3)
  np.testing.assert_array_equal(np.asarray(y)[-3:], 0)
  np.testing.assert_array_equal(np.asarray(found[0])[-3:], 0)
  for x in found[1:]:
    np.testing.assert_array_equal(np.asarray(x)[1], 0)
  # What is kept changes nothing, to the bit.
  kept_plain = value_and_pullback(operands, dy, residuals="bf16")
  for x, same in zip((y, *found), jax.tree.leaves(kept_plain), strict=True):
    np.testing.assert_array_equal(x, same)


def test_gradients_point_where_those_of_bf16_do():
  operands = layer([40, 0, 140, 76], d=256, f=128, n=256, dtype=BF16)
  dy = cotangent(operands)
  y, found = value_and_pullback(operands, dy)
  expected_y, expected = value_and_pullback(operands, dy, compute_dtype=BF16)
  assert y.dtype == expected_y.dtype == BF16
  for x, expected_x in zip((y, *found), (expected_y, *expected), strict=True):
    assert x.dtype == BF16
    assert cosine(x, expected_x) > 0.995


def cosine(x, y):
  x, y = np.asarray(x, float).ravel(), np.asarray(y, float).ravel()
  return x @ y / (np.linalg.norm(x) * np.linalg.norm(y))


def test_bf16_is_the_formula():
  operands = layer([5, 0, 40, 1], d=48, f=24, n=16, spare=2, dtype=BF16)
  y, _ = value_and_pullback(operands, cotangent(operands), compute_dtype=BF16)
  x, w_gate, w_up, w_down, sizes = map(jnp.asarray, operands)

  def dot(x, w):
    return jax.lax.ragged_dot(
      x.astype(jnp.float32), w.astype(jnp.float32), sizes
    )

  expected = dot(jax.nn.silu(dot(x, w_gate)) * dot(x, w_up), w_down)
  assert_near(y[:-2], expected[:-2], 1e-2)
  np.testing.assert_array_equal(np.asarray(y[-2:], float), 0)


@pytest.mark.parametrize("compute_dtype", [F8, BF16])
def test_gate_and_up_may_be_one_array(compute_dtype):
  operands = layer([5, 17], d=128, f=128, n=64, dtype=BF16)
  x, w_gate, w_up, w_down, sizes = map(jnp.asarray, operands)
  both = jnp.concatenate([w_gate, w_up], -1)
  run = jax.jit(functools.partial(dg.moe_mlp, compute_dtype=compute_dtype))
  apart = run(x, w_gate, w_up, w_down, sizes)
  np.testing.assert_array_equal(
    np.asarray(run(x, both, None, w_down, sizes), float),
    np.asarray(apart, float),
  )


def test_main_gradients_get_what_the_weights_would():
  operands = layer([5, 0, 17], d=24, f=136, n=16, spare=1)
  x, *weights, sizes = map(jnp.asarray, operands)
  dy = jnp.nan_to_num(jnp.asarray(cotangent(operands)))
  main = [jnp.full(w.shape, 2.0, jnp.float32) for w in weights]

  def loss(weights, main):
    return jnp.sum(dg.moe_mlp(x, *weights, sizes, main_grads=main) * dy)

  @jax.jit
  def both(weights, main):
    accumulated = jax.grad(loss, argnums=1)(weights, main)
    return accumulated, jax.grad(lambda w: loss(w, None))(weights)

  for found, gradient in zip(*both(weights, main), strict=True):
    np.testing.assert_allclose(found, gradient + 2, rtol=1e-5, atol=1e-5)

  with pytest.raises(ValueError, match="main_grad is not"):
    jax.eval_shape(jax.grad(loss), weights, main)

  # Gate and up in one array have one main gradient, of one product.
  one = [jnp.concatenate(weights[:2], -1), None, weights[2]]
  main = [jnp.concatenate(main[:2], -1), None, main[2]]
  gradients = jax.eval_shape(jax.grad(loss, argnums=1), one, main)
  assert [g if g is None else g.shape for g in gradients] == [
    (3, 24, 272),
    None,
    (3, 136, 16),
  ]
  text = str(jax.make_jaxpr(jax.grad(loss, argnums=1))(one, main))
  assert text.count("k_grouped_fp8_gemm[") == 2


def test_remat_policies_keep_what_they_name():
  operands = layer([5, 17], d=128, f=128, n=64, dtype=BF16)
  *arrays, sizes = map(jnp.asarray, operands)

  def counts(*names):
    policy = jax.checkpoint_policies.save_only_these_names(*names)

    @functools.partial(jax.checkpoint, policy=policy)
    def f(*arrays):
      return dg.moe_mlp(*arrays, sizes).astype(jnp.float32).sum()

    text = str(jax.make_jaxpr(jax.grad(f, range(4)))(*arrays))
    return text.count("cast_to_fp8["), text.count("m_grouped_fp8_gemm[")

  # Forward: x, two weights and the activation. Backward: dy and dh.
  assert counts("fp8_activation", "fp8_weight", "moe_hidden") == (6, 4)
  # Made again: the hidden values, from the rows of x and the weight.
  assert counts("fp8_activation", "fp8_weight") == (8, 5)
  assert counts() == (10, 5)


@pytest.mark.parametrize("compute_dtype", [F8, BF16])
@pytest.mark.parametrize("shape", [(0, 8, 8, 8), (4, 0, 8, 8), (4, 8, 0, 8)])
def test_nothing_gives_zeros(compute_dtype, shape):
  m, d, f, n = shape
  x, w, w_down = jnp.ones((m, d)), jnp.ones((2, d, f)), jnp.ones((2, f, n))
  y = dg.moe_mlp(
    x, w, w, w_down, jnp.array([1, m]), compute_dtype=compute_dtype
  )
  np.testing.assert_array_equal(np.asarray(y), np.zeros((m, n)))


def test_what_does_not_fit_is_refused():
  x, w, w_down = jnp.ones((4, 8)), jnp.ones((2, 8, 6)), jnp.ones((2, 6, 8))
  sizes = jnp.array([1, 2])
  with pytest.raises(ValueError, match=r"w_up must have shape \[g, d, f\]"):
    dg.moe_mlp(x, w, w[:, :, :5], w_down, sizes)
  with pytest.raises(ValueError, match=r"w_gate must have shape \[g, d, 2 f\]"):
    dg.moe_mlp(x, w, None, w_down, sizes)
  with pytest.raises(ValueError, match="x must have shape"):
    dg.moe_mlp(x[0], w, w, w_down, sizes)
  with pytest.raises(ValueError, match="compute_dtype must be"):
    dg.moe_mlp(x, w, w, w_down, sizes, compute_dtype=jnp.float16)
  with pytest.raises(ValueError, match="group_sizes must have shape"):
    dg.moe_mlp(x, w, w, w_down, sizes[:1])
  with pytest.raises(ValueError, match="main_grads must have one array"):
    dg.moe_mlp(x, w, w, w_down, sizes, main_grads=(w,))
  with pytest.raises(NotImplementedError, match="add the gradients"):
    dg.moe_mlp(
      x,
      w,
      w,
      w_down,
      sizes,
      compute_dtype=BF16,
      main_grads=(w, w, w_down),
    )
