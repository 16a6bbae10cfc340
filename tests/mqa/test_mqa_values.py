"""fp8_mqa_logits against the oracle, and its gradients, on the CPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.primitives import mqa_rows
from jax_deepgemm.testing import calc_diff
from tests import mqa_data

_BITS = 20
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
RANGES = [(0, 20), (7, 31), (30, 30), (25, 3), (_LOWEST, _HIGHEST), (36, 99)]


@functools.partial(jax.jit, static_argnames=("clean", "width", "dtype"))
def logits(q, keys, scales, *others, clean=True, width=0, dtype=jnp.float32):
  return dg.fp8_mqa_logits(q, (keys, scales), *others, clean, width, dtype)


@pytest.mark.parametrize(
  ("heads", "dim", "settings"),
  [
    (8, 32, {}),
    (64, 128, {"dtype": jnp.bfloat16}),
    (16, 64, {"clean": False}),
    (32, 32, {"width": 24}),
    (8, 64, {"width": 50, "clean": False, "dtype": jnp.bfloat16}),
  ],
)
def test_logits_are_those_of_the_formula(heads, dim, settings):
  arrays = mqa_data.operands(7, 37, heads, dim, RANGES)
  found = np.asarray(logits(*arrays, **settings))
  fill = -np.inf if settings.get("clean", True) else 0.0
  exact, magnitude = mqa_data.logits(
    *arrays, max_seqlen_k=settings.get("width", 0), fill=fill
  )
  assert found.shape == exact.shape
  assert found.dtype == settings.get("dtype", jnp.float32)
  assert mqa_data.wrong(found, exact, magnitude, _BITS).size == 0


def test_chunks_of_rows_are_put_together(monkeypatch):
  arrays = mqa_data.operands(7, 37, 8, 32, RANGES)
  # Two rows at a time, of seven.
  monkeypatch.setattr(mqa_rows, "_MOST_SCORES", 2 * 8 * 37)
  found = jax.jit(lambda *x: logits.__wrapped__(*x))(*arrays)
  exact, magnitude = mqa_data.logits(*arrays)
  assert mqa_data.wrong(np.asarray(found), exact, magnitude, _BITS).size == 0


def test_a_nan_reaches_the_rows_that_see_it():
  q, keys, *others = mqa_data.operands(2, 37, 8, 32, [(0, 20), (10, 37)])
  keys[5] = np.nan
  found = np.asarray(logits(q, keys, *others))
  assert np.argwhere(np.isnan(found)).tolist() == [[0, 5]]


@pytest.mark.parametrize(
  ("rows", "keys", "width", "shape"),
  [(0, 37, 0, (0, 37)), (3, 0, 0, (3, 0)), (3, 0, 5, (3, 5))],
)
def test_there_may_be_nothing(rows, keys, width, shape):
  arrays = mqa_data.operands(rows, keys, 8, 32, [(0, 20)])
  found = np.asarray(logits(*arrays, width=width))
  assert found.shape == shape
  assert np.all(found == -np.inf)


def plain(shape, seed, dtype=jnp.float32):
  return jax.random.normal(jax.random.key(seed), shape, dtype)


Q, KV, WEIGHTS = plain((5, 8, 32), 0), plain((37, 32), 1), plain((5, 8), 2)
STARTS = jnp.array([0, 7, 30, _LOWEST, 36], jnp.int32)
ENDS = jnp.array([20, 31, 30, _HIGHEST, 99], jnp.int32)


def unquantised(q, kv, weights, width):
  """Returns logits, zeros outside, of the formula that is differentiated."""
  x = jax.nn.relu(jnp.einsum("shd,kd->shk", q, kv))
  full = jnp.einsum("sh,shk->sk", weights, x)
  starts = jnp.clip(STARTS, 0, kv.shape[0])[:, None]
  key = jnp.arange(kv.shape[0])
  seen = (key >= starts) & (key < ENDS[:, None])
  if not width:
    return jnp.where(seen, full, 0)
  # As a product with a matrix that moves columns.
  column = jnp.arange(width)
  moved = (key[:, None] == starts[:, :, None] + column) & seen[:, :, None]
  return jnp.einsum("sk,skc->sc", full, moved.astype(jnp.float32))


@pytest.mark.parametrize("width", [0, 24])
def test_gradients_are_those_of_the_unquantised_formula(monkeypatch, width):
  monkeypatch.setattr(mqa_rows, "_MOST_SCORES", 2 * 8 * 37)
  dy = plain((5, width or 37), 3)

  def loss(q, kv, weights):
    found = dg.fp8_mqa_logits(q, kv, weights, STARTS, ENDS, False, width)
    return jnp.vdot(found, dy), found

  def exact(*x):
    return jnp.vdot(unquantised(*x, width), dy)

  gradient = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))
  found, values = gradient(Q, KV, WEIGHTS)
  assert calc_diff(values, unquantised(Q, KV, WEIGHTS, width)) < 1e-3
  expected = jax.grad(exact, (0, 1, 2))(Q, KV, WEIGHTS)
  for x, y in zip(found, expected, strict=True):
    np.testing.assert_allclose(x, y, atol=2e-4)


def test_weights_have_a_gradient_beside_quantised_operands():
  arrays = mqa_data.operands(3, 37, 8, 32, [(0, 20), (4, 4), (9, 37)])
  q, keys, scales, weights, starts, ends = arrays

  def loss(weights):
    return dg.fp8_mqa_logits(
      q, (keys, scales), weights, starts, ends, False
    ).sum()

  found = jax.jit(jax.grad(loss))(weights)
  for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
    used = keys[start:end].astype(np.float64) * scales[start:end, None]
    x = np.maximum(q[i].astype(np.float64) @ used.T, 0).sum(1)
    np.testing.assert_allclose(found[i], x, rtol=1e-5)


def test_gradients_have_the_dtypes_of_their_arrays():
  arrays = (Q.astype(jnp.bfloat16), KV.astype(jnp.bfloat16))

  def loss(q, kv):
    return dg.fp8_mqa_logits(q, kv, WEIGHTS, STARTS, ENDS, False).sum()

  found = jax.eval_shape(jax.grad(loss, (0, 1)), *arrays)
  assert [x.dtype for x in found] == [jnp.bfloat16, jnp.bfloat16]


@pytest.mark.parametrize("argument", [0, 1])
def test_quantised_operands_have_no_gradient(argument):
  q, *kv = mqa_data.operands(5, 37, 8, 32, [(0, 20)])[:3]
  operands = [(jnp.asarray(q), KV), (Q, tuple(map(jnp.asarray, kv)))][argument]

  def loss(q, kv):
    return dg.fp8_mqa_logits(q, kv, WEIGHTS, STARTS, ENDS, False).sum()

  name = ("q", "kv")[argument]
  with pytest.raises(TypeError, match=f"^{name} is quantised and has no grad"):
    jax.grad(loss, argument)(*operands)
