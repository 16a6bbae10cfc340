"""Results and gradients against float64, and against fewer ranks to the bit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.mega_moe_arguments import checked_operands
from tests.mega_moe import mega_moe_oracle
from tests.mega_moe.layers import (
  BF16,
  EXPERTS,
  FP8,
  HIDDEN,
  TOKENS,
  arrays,
  assert_near,
  assert_same_bits,
  buffer,
  layer_of,
  operands,
  over_ranks,
  with_gradients,
)

_CASTS = {FP8: mega_moe_oracle.FP8, BF16: mega_moe_oracle.BF16}


def _with_gaps(layer):
  """Returns the layer with choices of no expert and a rank without any."""
  idx = layer.topk_idx.copy()
  idx[3, 1] = -1
  idx[5] = EXPERTS
  idx[7, 0] = np.iinfo(np.int32).min
  idx[TOKENS // 4 : TOKENS // 2] = -1
  idx[(idx == 4) | (idx == 5)] = -1  # Experts that nobody chooses.
  return layer._replace(topk_idx=idx)


@pytest.mark.parametrize(
  ("mma_type", "clamp"), [(FP8, None), (FP8, 0.75), (BF16, 0.75)]
)
def test_results_and_gradients_are_those_of_the_formula(mma_type, clamp):
  layer, dy = operands()
  layer = _with_gaps(layer)
  step = with_gradients(layer_of(4, mma_type, activation_clamp=clamp))
  y, found = step(*arrays(layer), jnp.asarray(dy))
  expected_y, expected = mega_moe_oracle.computed(
    layer, dy, _CASTS[mma_type], np.inf if clamp is None else clamp
  )
  # Codes next to a tie may differ: the activation is a function of float32
  # sums whose order is not the oracle's.
  assert_near(y, expected_y, 3e-3)
  for name, a, b in zip(expected._fields, found, expected, strict=True):
    assert a.dtype == getattr(layer, name).dtype
    assert_near(a, b, 3e-3)
  unchosen = ~((layer.topk_idx >= 0) & (layer.topk_idx < EXPERTS))
  assert not np.any(np.asarray(found[1])[unchosen])
  assert not np.any(np.asarray(y, float)[unchosen.all(1)])
  for gradient in found[2:]:
    assert not np.any(np.asarray(gradient, float)[4:6])


@functools.cache
def _of_ranks(ranks, mma_type, check_vma=True):
  """Returns results and gradients of a layer with gaps."""
  layer, dy = operands(1)
  step = with_gradients(layer_of(ranks, mma_type, check_vma))
  return step(*arrays(_with_gaps(layer)), jnp.asarray(dy))


@pytest.mark.parametrize(
  ("mma_type", "ranks", "check_vma"),
  [(FP8, 2, True), (FP8, 4, False), (BF16, 2, True)],
)
def test_more_ranks_change_no_bit(mma_type, ranks, check_vma):
  found = _of_ranks(ranks, mma_type, check_vma)
  jax.tree.map(assert_same_bits, found, _of_ranks(1, mma_type))


def test_tokens_past_the_last_do_not_count():
  layer, dy = operands(2)
  ranks, counts = 4, np.array([0, 5, TOKENS, 3], np.int32)
  per_rank = TOKENS // ranks
  live = np.arange(TOKENS) % per_rank < np.repeat(counts, per_rank)
  x = np.where(live[:, None], layer.x, np.nan).astype(layer.x.dtype)
  symmetric = buffer(ranks)

  def shard(x, idx, weights, l1, l2, num_tokens):
    return dg.fp8_mega_moe(
      *(x, idx, weights, l1, l2, symmetric), num_tokens=num_tokens
    )

  counted = over_ranks(shard, ranks)

  layer = layer._replace(x=x)
  run = with_gradients(lambda *args: counted(*args, jnp.asarray(counts)))
  y, found = run(*arrays(layer), jnp.asarray(dy))
  idx = np.where(live[:, None], layer.topk_idx, -1)
  masked = layer._replace(
    topk_idx=idx, x=np.where(live[:, None], x, np.zeros_like(x))
  )
  run = with_gradients(layer_of(ranks))
  expected_y, expected = run(*arrays(masked), jnp.asarray(dy))
  jax.tree.map(assert_same_bits, (y, found), (expected_y, expected))
  assert not np.any(np.asarray(y, float)[~live])


def test_rows_received_are_counted():
  layer, _ = operands(3)
  layer = _with_gaps(layer)
  symmetric = buffer(4)

  def shard(*args):
    *args, stats = args
    return dg.fp8_mega_moe(
      *args, symmetric, cumulative_local_expert_recv_stats=stats
    )

  start = np.arange(EXPERTS, dtype=np.int32) * 1000
  y, stats = jax.jit(over_ranks(shard, 4))(*arrays(layer), jnp.asarray(start))
  chosen = layer.topk_idx[(layer.topk_idx >= 0) & (layer.topk_idx < EXPERTS)]
  counts = np.bincount(chosen, minlength=EXPERTS)
  np.testing.assert_array_equal(stats, start + counts)
  assert_same_bits(y, jax.jit(layer_of(4))(*arrays(layer)))


def test_operands_may_come_quantised():
  """The same bits, and gradients to what is plain."""
  layer, dy = operands(4)
  x, idx, weights, l1, l2 = arrays(layer)
  codes = (
    dg.per_token_cast_to_fp8(x),
    *(dg.per_block_cast_to_fp8(w) for w in (l1, l2)),
  )
  run = layer_of(2)
  y, expected = with_gradients(run)(x, idx, weights, l1, l2, jnp.asarray(dy))

  def quantised(x, weights):
    return run(x, idx, weights, *codes[1:])

  found, pull = jax.vjp(jax.jit(quantised), x, weights)
  assert_same_bits(found, y)
  jax.tree.map(assert_same_bits, pull(jnp.asarray(dy)), expected[:2])

  def plain_weights(l1, l2):
    return run(codes[0], idx, weights, l1, l2)

  found, pull = jax.vjp(jax.jit(plain_weights), l1, l2)
  assert_same_bits(found, y)
  dl1, dl2 = pull(jnp.asarray(dy))
  assert_same_bits(dl2, expected[3])
  # x is quantised twice for its product with dh.
  assert_near(dl1, expected[2], 5e-2)

  def of_l1_scales(scales):
    return run(x, idx, weights, (codes[1].values, scales), l2).sum()

  def of_x_scales(scales):
    return run((codes[0].values, scales), idx, weights, l1, l2).sum()

  with pytest.raises(TypeError, match="l1_weights is quantised and has no"):
    jax.jit(jax.grad(of_l1_scales)).trace(codes[1].scales)
  with pytest.raises(TypeError, match="x is quantised and has no gradient"):
    jax.jit(jax.grad(of_x_scales)).trace(codes[0].scales)


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.int8])
def test_indices_of_other_integers_are_cut_off_nowhere(dtype):
  layer, _ = operands(5)
  arena = buffer(1).arena
  idx = layer.topk_idx.copy()
  wide = idx.astype(dtype)
  idx[0, 0] = -1
  # The lower 32 bits are those of an expert, or no expert's.
  outside = {np.uint32: 2**32 - 1, np.int64: 2**32 + 1, np.int8: -1}
  wide[0, 0] = outside[dtype]
  given = wide if dtype == np.int64 else jnp.asarray(wide)
  found = checked_operands(
    layer.x, given, *layer[2:], num_tokens=None, arena=arena
  ).topk_idx
  is_expert = (found >= 0) & (found < EXPERTS)
  np.testing.assert_array_equal(jnp.where(is_expert, found, -1), idx)
  assert found.dtype == jnp.int32


def test_no_tokens_are_no_rows():
  layer, _ = operands(5)
  none = [jnp.asarray(a[:0]) for a in layer[:3]]
  y = jax.jit(layer_of(2))(*none, *map(jnp.asarray, layer[3:]))
  assert (y.shape, y.dtype) == ((0, HIDDEN), jnp.bfloat16)
