"""mqa_topk against the logits it chooses from, and its gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.primitives import mqa_rows, topk_reference
from tests import mqa_data, mqa_fp4_data, topk_data

_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
RANGES = [(0, 20), (7, 31), (30, 30), (25, 3), (_LOWEST, _HIGHEST), (36, 99)]


@functools.partial(jax.jit, static_argnums=(6, 7))
def topk(q, keys, scales, weights, starts, ends, k, width=0):
  return dg.mqa_topk(q, (keys, scales), weights, starts, ends, k, width)


@functools.partial(jax.jit, static_argnums=6)
def logits(q, keys, scales, weights, starts, ends, width):
  pair = (keys, scales)
  return dg.fp8_mqa_logits(q, pair, weights, starts, ends, True, width)


def expected(arrays, k, width=0):
  """Returns the k largest of the logits, kept as a whole."""
  num_keys = len(arrays[1])
  values = np.asarray(logits(*arrays, width or num_keys))
  return topk_data.of_ranges(values, *arrays[4:6], num_keys, k)


def check(found, wanted):
  for x, y in zip(found, wanted, strict=True):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
  ("heads", "dim", "k", "width"),
  [(8, 32, 12, 0), (64, 64, 1, 0), (16, 32, 9, 15), (8, 32, 50, 0)],
)
def test_keys_are_those_of_the_largest_logits(heads, dim, k, width):
  arrays = mqa_data.operands(7, 37, heads, dim, RANGES)
  check(topk(*arrays, k, width), expected(arrays, k, width))


def test_chunks_of_rows_are_put_together(monkeypatch):
  arrays = mqa_data.operands(7, 37, 8, 32, RANGES)
  wanted = expected(arrays, 12)
  # Two rows at a time, of seven.
  monkeypatch.setattr(mqa_rows, "_MOST_SCORES", 2 * 8 * 37)
  check(jax.jit(lambda *x: topk.__wrapped__(*x, 12))(*arrays), wanted)


def test_logits_of_all_rows_are_never_in_memory():
  s, num_keys = 8192, 16384
  arrays = (
    jax.ShapeDtypeStruct((s, 8, 32), jnp.float8_e4m3fn),
    jax.ShapeDtypeStruct((num_keys, 32), jnp.float8_e4m3fn),
    jax.ShapeDtypeStruct((num_keys,), jnp.float32),
    jax.ShapeDtypeStruct((s, 8), jnp.float32),
    jax.ShapeDtypeStruct((s,), jnp.int32),
    jax.ShapeDtypeStruct((s,), jnp.int32),
  )
  memory = topk.lower(*arrays, 16).compile().memory_analysis()
  assert memory.temp_size_in_bytes < s * num_keys * 4 / 8


@pytest.mark.parametrize("kind", ["special", "tied", "rising", "equal"])
def test_values_have_an_order(kind):
  values = topk_data.rows(kind, 3, 200)
  counts = np.array([200, 0, 77], np.int32)
  first = np.array([0, 5, 1000], np.int32)
  found = jax.jit(topk_reference.largest, static_argnums=3)(
    values, first, counts, 90
  )
  check(found, topk_data.of_ranges(values, first, first + counts, 2000, 90))


@pytest.mark.parametrize(("rows", "keys"), [(0, 37), (3, 0)])
def test_there_may_be_nothing(rows, keys):
  arrays = mqa_data.operands(rows, keys, 8, 32, [(0, 20)])
  values, indices = topk(*arrays, 5)
  assert values.shape == indices.shape == (rows, 5)
  assert np.all(np.asarray(values) == -np.inf)
  assert np.all(np.asarray(indices) == -1)


def plain(shape, seed):
  return jax.random.normal(jax.random.key(seed), shape, jnp.float32)


Q, KV, WEIGHTS = plain((5, 8, 32), 0), plain((37, 32), 1), plain((5, 8), 2)
STARTS = jnp.array([0, 7, 30, _LOWEST, 36], jnp.int32)
ENDS = jnp.array([20, 31, 30, _HIGHEST, 99], jnp.int32)


def test_gradients_are_those_of_the_unquantised_formula(monkeypatch):
  monkeypatch.setattr(mqa_rows, "_MOST_SCORES", 2 * 8 * 11)
  dy = plain((5, 11), 3)

  def loss(q, kv, weights):
    values, indices = dg.mqa_topk(q, kv, weights, STARTS, ENDS, 11)
    return jnp.vdot(jnp.where(indices < 0, 0, values), dy), indices

  gradient = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))
  found, indices = gradient(Q, KV, WEIGHTS)

  def exact(q, kv, weights):
    x = jax.nn.relu(jnp.einsum("shd,kd->shk", q, kv))
    full = jnp.einsum("sh,shk->sk", weights, x)
    chosen = jnp.take_along_axis(full, jnp.maximum(indices, 0), axis=1)
    return jnp.vdot(jnp.where(indices < 0, 0, chosen), dy)

  assert (np.asarray(indices) < 0).sum() == 21
  wanted = jax.grad(exact, (0, 1, 2))(Q, KV, WEIGHTS)
  for x, y in zip(found, wanted, strict=True):
    np.testing.assert_allclose(x, y, atol=2e-4)


def test_indices_alone_have_no_gradient():
  def loss(weights, kv):
    indices = dg.mqa_topk(Q, kv, weights, STARTS, ENDS, 3)[1]
    return jnp.where(indices < 0, 0, kv[indices, 0]).sum()

  # Those of what was gathered, and none of the choice.
  dw, dkv = jax.jit(jax.grad(loss, (0, 1)))(WEIGHTS, KV)
  assert not np.any(dw)
  assert set(np.unique(dkv[:, 1:])) == {0}
  assert np.any(dkv[:, 0])


def test_quantised_operands_have_no_gradient():
  q = jnp.asarray(mqa_data.codes((5, 8, 32), 1))

  def loss(q):
    return dg.mqa_topk(q, KV, WEIGHTS, STARTS, ENDS, 3)[0].sum()

  with pytest.raises(TypeError, match=r"^q is quantised and has no gradient"):
    jax.grad(loss, allow_int=True)(q)


@pytest.mark.parametrize(
  ("wrong", "error", "message"),
  [
    ({"k": 0}, ValueError, "k must be 1 to 2147483647, got 0"),
    ({"k": 2.0}, TypeError, "k must be an integer, got 2.0"),
    ({"max_seqlen_k": -1}, ValueError, "max_seqlen_k must be 0 to 2147483647"),
    ({"q": Q[0]}, ValueError, r"q must have shape \[s, h, d\], got \(8, 32\)"),
    ({"kv": KV[:, :8]}, ValueError, r"kv must have shape \[k, d\] with d = 32"),
    ({"weights": WEIGHTS[:2]}, ValueError, r"weights must have shape \[s, h\]"),
    (
      {"cu_seq_len_k_end": ENDS[:2]},
      ValueError,
      r"cu_seq_len_k_end must have shape \[s\] = \(5,\), got \(2,\)",
    ),
  ],
)
def test_a_wrong_argument_is_named(wrong, error, message):
  right = {"q": Q, "kv": KV, "weights": WEIGHTS, "k": 3}
  right |= {"cu_seq_len_k_start": STARTS, "cu_seq_len_k_end": ENDS}
  with pytest.raises(error, match=message):
    dg.mqa_topk(**(right | wrong))


def test_a_kernel_cannot_be_insisted_on_without_a_gpu():
  q, keys, scales, *others = mqa_data.operands(3, 37, 8, 32, [(0, 20)])
  with (
    dg.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match="mqa_topk has no kernel for cpu"),
  ):
    dg.mqa_topk(q, (keys, scales), *others, 3)


def test_fp4_is_chosen_from_by_its_logits():
  arrays = mqa_fp4_data.operands(7, 37, 8, 64, RANGES)

  def f(*arrays):
    q, kv = arrays[:2], arrays[2:4]
    return (
      dg.mqa_topk(q, kv, *arrays[4:], 12),
      dg.fp8_fp4_mqa_logits(q, kv, *arrays[4:], True, 37),
    )

  found, values = jax.jit(f)(*arrays)
  check(found, topk_data.of_ranges(np.asarray(values), *arrays[5:], 37, 12))


def test_fp4_has_no_gradient():
  *vectors, weights, starts, ends = mqa_fp4_data.operands(2, 9, 8, 32, RANGES)
  q, kv = vectors[:2], vectors[2:]

  def loss(weights):
    return dg.mqa_topk(q, kv, weights, starts, ends, 3)[0].sum()

  with pytest.raises(NotImplementedError, match="mqa_topk of FP4 has no grad"):
    jax.grad(loss)(weights)
