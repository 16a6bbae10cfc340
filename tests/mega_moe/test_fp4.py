"""A layer of FP4 weights against float64, other ranks, and decoded weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jax_deepgemm as dg
from tests.mega_moe import mega_moe_oracle
from tests.mega_moe.layers import (
  EXPERTS,
  FP4,
  TOKENS,
  arrays,
  assert_near,
  assert_same_bits,
  cast_to_fp4,
  layer_of,
  operands,
)

CLAMP = 0.75


def _decoded(weight):
  """Returns what FP4 stands for, in bfloat16, which holds it."""
  wide = dg.cast_back_from_fp4(*weight, gran_k=32, use_packed_ue8m0=True)
  narrow = wide.astype(jnp.bfloat16)
  assert np.array_equal(narrow.astype(jnp.float32), wide)
  return narrow


def _with_other_rows(weight):
  """Returns w whose rows are times 1, 1/2, 1/4, 1/8, 1, ..."""
  powers = np.exp2(-(np.arange(weight.shape[1]) % 4))[:, None]
  return (np.asarray(weight, float) * powers).astype(weight.dtype)


@functools.cache
def _layer():
  """Returns a layer whose weights are numbers of FP4, these, and dy."""
  layer, dy = operands(6)
  idx = layer.topk_idx.copy()
  idx[3, 1], idx[5], idx[12:24] = -1, EXPERTS, -1
  idx[idx == 4] = -1  # An expert that nobody chooses.
  # Rows of weights differ by powers of two, so that no scale is another's.
  packed = [
    cast_to_fp4(jnp.asarray(_with_other_rows(w))) for w in (layer.l1, layer.l2)
  ]
  l1, l2 = (np.asarray(_decoded(w)) for w in packed)
  return layer._replace(topk_idx=idx, l1=l1, l2=l2), packed, dy


@functools.cache
def _of_ranks(ranks):
  """Returns y and the gradients of x and topk_weights."""
  layer, packed, dy = _layer()
  x, idx, weights = arrays(layer)[:3]
  run = layer_of(ranks, FP4, activation_clamp=CLAMP)

  def step(x, idx, weights, l1, l2, dy):
    y, pull = jax.vjp(lambda x, w: run(x, idx, w, l1, l2), x, weights)
    return y, pull(dy)

  return jax.jit(step)(x, idx, weights, *packed, jnp.asarray(dy))


def test_results_and_gradients_are_those_of_the_formula():
  layer, _, dy = _layer()
  expected_y, expected = mega_moe_oracle.computed(
    layer, dy, mega_moe_oracle.FP4, CLAMP
  )
  y, (dx, dweights) = _of_ranks(2)
  assert_near(y, expected_y, 3e-3)
  assert_near(dx, expected.x, 3e-3)
  assert_near(dweights, expected.topk_weights, 3e-3)
  unchosen = ~((layer.topk_idx >= 0) & (layer.topk_idx < EXPERTS))
  assert not np.any(np.asarray(dweights)[unchosen])
  assert not np.any(np.asarray(y, float)[unchosen.all(1)])


def test_more_ranks_change_no_bit():
  jax.tree.map(assert_same_bits, _of_ranks(2), _of_ranks(1))


def test_tokens_may_come_quantised_and_some_may_not_count():
  layer, packed, _ = _layer()
  x, idx, weights = arrays(layer)[:3]
  run = layer_of(1, FP4, activation_clamp=CLAMP, num_tokens=TOKENS - 5)
  y = jax.jit(run)(dg.per_token_cast_to_fp8(x), idx, weights, *packed)
  is_live = np.arange(TOKENS)[:, None] < TOKENS - 5
  expected = np.where(is_live, np.asarray(_of_ranks(1)[0]), 0)
  assert_same_bits(y, expected.astype(y.dtype))
