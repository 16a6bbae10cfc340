"""Gradients of fp8_gemm_* against their formula in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.primitives.gemm_oracle import assert_is_product, dequantized

ROW, SQUARE = (1, 128), (128, 128)


def normal(shape, seed, dtype=jnp.float32):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def value(x, recipe):
  """Returns what the quantised x stands for, in float64."""
  if recipe[0] == 1:
    cast = functools.partial(dg.per_token_cast_to_fp8, gran_k=recipe[1])
  else:
    cast = dg.per_block_cast_to_fp8
  return dequantized(jax.tree.map(np.asarray, jax.jit(cast)(x)), recipe)


def pullback(f, *primals, dy):
  def both(primals, dy):
    d, vjp = jax.vjp(f, *primals)
    return d, vjp(dy.astype(d.dtype))

  return jax.jit(both)(primals, dy)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize(("m", "n", "k"), [(140, 200, 300), (3, 130, 7)])
def test_gradients_are_those_of_the_formula(m, n, k, dtype):
  a, b = normal((m, k), 0, dtype), normal((n, k), 1, dtype)
  dy = normal((m, n), 2, dtype)

  def f(a, b):
    return dg.fp8_gemm_nt(a, b, out_dtype=dtype)

  _, (da, db) = pullback(f, a, b, dy=dy)
  assert (da.dtype, db.dtype) == (dtype, dtype)
  assert_is_product(da, value(dy, ROW), value(b.T, SQUARE))
  assert_is_product(db, value(dy.T, ROW), value(a.T, ROW))


@pytest.mark.parametrize(
  "recipe", [(1, 128, 128), (1, 1, 128), (1, 1, 32), (128, 128, 128)]
)
def test_every_recipe_has_gradients_near_the_unquantised_ones(recipe):
  a, b, dy = normal((140, 300), 0), normal((200, 300), 1), normal((140, 200), 2)

  def f(a, b):
    return dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32, recipe=recipe)

  _, (da, db) = pullback(f, a, b, dy=dy)
  assert np.linalg.norm(da - dy @ b) < 0.05 * np.linalg.norm(dy @ b)
  assert np.linalg.norm(db - dy.T @ a) < 0.05 * np.linalg.norm(dy.T @ a)


@pytest.mark.parametrize(
  ("gemm", "flip_a", "flip_b"),
  [
    (dg.fp8_gemm_nt, False, False),
    (dg.fp8_gemm_nn, False, True),
    (dg.fp8_gemm_tn, True, True),
    (dg.fp8_gemm_tt, True, False),
  ],
  ids=["nt", "nn", "tn", "tt"],
)
def test_each_layout_has_the_transposed_gradient(gemm, flip_a, flip_b):
  a, b, dy = normal((20, 140), 0), normal((30, 140), 1), normal((20, 30), 2)

  def turn(x, flip):
    return x.T if flip else x

  _, (da, db) = pullback(gemm, turn(a, flip_a), turn(b, flip_b), dy=dy)
  _, (da_nt, db_nt) = pullback(dg.fp8_gemm_nt, a, b, dy=dy)
  np.testing.assert_array_equal(turn(da, flip_a), da_nt)
  np.testing.assert_array_equal(turn(db, flip_b), db_nt)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_the_gradient_of_c_is_the_cotangent(dtype):
  a, b, c = normal((4, 140), 0), normal((30, 140), 1), normal((4, 30), 2, dtype)
  dy = normal((4, 30), 3, dtype)
  _, (dc,) = pullback(lambda c: dg.fp8_gemm_nt(a, b, c), c, dy=dy)
  np.testing.assert_array_equal(dc, dy)
  quantized = dg.per_token_cast_to_fp8(a), dg.per_block_cast_to_fp8(b)
  _, (dc,) = pullback(lambda c: dg.fp8_gemm_nt(*quantized, c), c, dy=dy)
  np.testing.assert_array_equal(dc, dy)


def test_the_sum_with_c_is_differentiable_forwards():
  a, b = normal((4, 140), 0), normal((30, 140), 1)
  quantized = dg.per_token_cast_to_fp8(a), dg.per_block_cast_to_fp8(b)
  c, dc = normal((4, 30), 2), normal((4, 30), 3)
  _, tangent = jax.jvp(lambda c: dg.fp8_gemm_nt(*quantized, c), (c,), (dc,))
  np.testing.assert_array_equal(tangent, dc)


def test_a_block_scaled_weight_is_transposed_exactly():
  a, dy = normal((20, 300), 0), normal((20, 200), 2)
  b = dg.per_block_cast_to_fp8(normal((200, 300), 1))

  def f(a):
    return dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32)

  _, (da,) = pullback(f, a, dy=dy)
  weight = dequantized(jax.tree.map(np.asarray, b), SQUARE)
  assert_is_product(da, value(dy, ROW), weight.T)


def test_a_row_scaled_operand_is_quantised_anew():
  a = dg.per_token_cast_to_fp8(normal((140, 300), 0))
  b, dy = normal((200, 300), 1), normal((140, 200), 2)

  def f(b):
    return dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32)

  _, (db,) = pullback(f, b, dy=dy)
  plain = dequantized(jax.tree.map(np.asarray, a), ROW).astype(np.float32)
  assert_is_product(db, value(dy.T, ROW), value(jnp.asarray(plain).T, ROW))


def quantize_outside(a, b):
  return dg.fp8_gemm_nt(dg.per_token_cast_to_fp8(a), b, out_dtype=jnp.float32)


@pytest.mark.parametrize(
  "f",
  [
    lambda a, b: quantize_outside(a, b),
    lambda a, b: quantize_outside(a, dg.per_block_cast_to_fp8(b)),
    jax.jit(quantize_outside),
    jax.checkpoint(quantize_outside),
    lambda a, b: jax.vmap(quantize_outside, (0, None))(a[None], b)[0],
  ],
  ids=["plain b", "quantised b", "jit", "checkpoint", "vmap"],
)
def test_a_quantised_operand_has_no_silent_gradient(f):
  a, b = normal((4, 140), 0), normal((30, 140), 1)
  with pytest.raises(
    TypeError,
    match=r"a is quantised and has no gradient.*"
    "pass the plain bfloat16 or float32 array as a",
  ):
    jax.grad(lambda a: f(a, b).sum())(a)


def test_gradients_of_scales_are_refused():
  a, b = normal((4, 140), 0), dg.per_block_cast_to_fp8(normal((30, 140), 1))

  def f(scales):
    return dg.fp8_gemm_nt(a, (b.values, scales), out_dtype=jnp.float32).sum()

  with pytest.raises(TypeError, match="b is quantised and has no gradient"):
    jax.grad(f)(b.scales)


def test_a_stopped_gradient_is_no_error():
  a, b = normal((4, 140), 0), normal((30, 140), 1)

  def f(a, b):
    quantized = jax.lax.stop_gradient(dg.per_block_cast_to_fp8(b))
    return dg.fp8_gemm_nt(a, quantized, out_dtype=jnp.float32).sum()

  da, db = jax.grad(f, (0, 1))(a, b)
  assert np.any(np.asarray(da) != 0)
  np.testing.assert_array_equal(db, np.zeros_like(b))


def test_only_the_wanted_gradient_is_computed():
  a, b = normal((4, 140), 0), normal((30, 140), 1)

  def f(a):
    return dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32).sum()

  jaxpr = str(jax.make_jaxpr(jax.grad(f))(a))
  assert jaxpr.count("fp8_gemm[") == 2


def test_vmap_of_grad_is_the_loop():
  a, b = normal((3, 6, 140), 0), normal((3, 130, 140), 1)

  def f(a, b):
    return (dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32) ** 2).sum()

  g = jax.grad(f, (0, 1))
  found = jax.jit(jax.vmap(g))(a, b)
  for i in range(3):
    expected = jax.jit(g)(a[i], b[i])
    for x, y in zip(found, expected, strict=True):
      np.testing.assert_allclose(x[i], y, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_grad_of_vmap_sums_over_what_is_shared(axes):
  a, b = normal((3, 6, 140), 0), normal((3, 130, 140), 1)

  def f(a, b):
    return dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32) ** 2

  inputs = [x if d == 0 else x[0] for x, d in zip((a, b), axes, strict=True)]
  mapped = jax.grad(lambda a, b: jax.vmap(f, axes)(a, b).sum(), (0, 1))
  found = jax.jit(mapped)(*inputs)
  single = jax.jit(jax.grad(lambda a, b: f(a, b).sum(), (0, 1)))
  expected = [0.0, 0.0]
  for i in range(3):
    one = single(
      *(x[i] if d == 0 else x for x, d in zip(inputs, axes, strict=True))
    )
    for side in range(2):
      if axes[side] is None:
        expected[side] += np.asarray(one[side])
      else:
        np.testing.assert_allclose(
          found[side][i], one[side], rtol=1e-5, atol=1e-4
        )
  for side in range(2):
    if axes[side] is None:
      np.testing.assert_allclose(
        found[side], expected[side], rtol=1e-5, atol=1e-3
      )


def test_the_backward_pass_keeps_the_options_of_the_forward_pass():
  a, b = normal((4, 140), 0), normal((30, 140), 1)
  with dg.options(num_sms=64):
    d, vjp = jax.vjp(dg.fp8_gemm_nt, a, b)
  text = str(jax.make_jaxpr(vjp)(d))
  # In both products and in the casts of what they multiply.
  assert text.count("num_sms=64") == text.count("num_sms=") > 2
