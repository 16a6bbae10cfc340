"""Experts that every token goes through, on its own rank."""

import functools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from jax_deepgemm.mega_moe_params import MegaMoeOperands, MegaMoeParams
from jax_deepgemm.mega_moe_shared import with_shared_choices
from jax_deepgemm.options import Options
from tests.mega_moe import mega_moe_oracle
from tests.mega_moe.layers import (
  BF16,
  EXPERTS,
  FP4,
  FP8,
  FUNCTIONS,
  HIDDEN,
  INTERMEDIATE,
  TOKENS,
  TOP_K,
  arrays,
  assert_near,
  assert_same_bits,
  buffer,
  cast_to_fp4,
  mesh,
  operands,
  over_ranks,
)

SHARED = 2
CLAMP = 0.75
_CASTS = {FP8: mega_moe_oracle.FP8, BF16: mega_moe_oracle.BF16}


@functools.cache
def _layer():
  """Returns a layer with gaps, the weights of shared experts, and dy."""
  layer, dy = operands(7)
  idx = layer.topk_idx.copy()
  # These would be numbers of shared experts, if they were counted on.
  idx[3, 1], idx[5, 0], idx[7] = -1, EXPERTS, EXPERTS + SHARED - 1
  idx[idx == 4] = -1
  random = np.random.default_rng(8)
  l1 = random.standard_normal((SHARED, 2 * INTERMEDIATE, HIDDEN))
  l2 = random.standard_normal((SHARED, HIDDEN, INTERMEDIATE))
  shared = (l1 / np.sqrt(HIDDEN), l2 / np.sqrt(INTERMEDIATE))
  shared = tuple(w.astype(ml_dtypes.bfloat16) for w in shared)
  return layer._replace(topk_idx=idx), shared, dy


def _widened(layer, shared):
  """Returns the same as a layer whose last experts all tokens choose."""
  is_expert = (layer.topk_idx >= 0) & (layer.topk_idx < EXPERTS)
  idx = np.where(is_expert, layer.topk_idx, -1)
  others = np.arange(EXPERTS, EXPERTS + SHARED, dtype=np.int32)
  others = np.broadcast_to(others, (TOKENS, SHARED))
  ones = np.ones((TOKENS, SHARED), np.float32)
  return mega_moe_oracle.Layer(
    layer.x,
    np.concatenate([idx, others], axis=1),
    np.concatenate([layer.topk_weights, ones], axis=1),
    np.concatenate([layer.l1, shared[0]]),
    np.concatenate([layer.l2, shared[1]]),
  )


def _layer_of(ranks, mma_type=FP8, num_shared=SHARED, **options):
  """Returns the layer as a function of operands and of shared weights."""
  symmetric = buffer(ranks, mma_type=mma_type, num_shared=num_shared)

  def shard(x, idx, weights, l1, l2, shared_l1, shared_l2):
    l1, l2 = dg.transform_weights_for_mega_moe(
      l1, l2, shared_l1=shared_l1, shared_l2=shared_l2
    )
    return FUNCTIONS[mma_type](*(x, idx, weights, l1, l2, symmetric), **options)

  split = P("e")
  return over_ranks(shard, ranks, in_specs=(split,) * 5 + (P(), P()))


@functools.cache
def _of_ranks(ranks, mma_type):
  """Returns y, and gradients of x, topk_weights and all weights."""
  layer, shared, dy = _layer()
  run = _layer_of(ranks, mma_type, activation_clamp=CLAMP)

  def step(x, idx, weights, l1, l2, shared_l1, shared_l2, dy):
    y, pull = jax.vjp(
      lambda x, w, *of_experts: run(x, idx, w, *of_experts),
      *(x, weights, l1, l2, shared_l1, shared_l2),
    )
    return y, pull(dy)

  return jax.jit(step)(
    *arrays(layer), *map(jnp.asarray, shared), jnp.asarray(dy)
  )


@pytest.mark.parametrize("mma_type", [FP8, BF16])
def test_results_and_gradients_are_those_of_the_formula(mma_type):
  """Gradients of shared experts are sums over the ranks that have them."""
  layer, shared, dy = _layer()
  wide = _widened(layer, shared)
  expected_y, expected = mega_moe_oracle.computed(
    wide, dy, _CASTS[mma_type], CLAMP
  )
  y, found = _of_ranks(2, mma_type)
  assert_near(y, expected_y, 3e-3)
  assert_near(found[0], expected.x, 3e-3)
  assert_near(found[1], expected.topk_weights[:, :TOP_K], 3e-3)
  for i, name in enumerate(("l1", "l2")):
    of_all = getattr(expected, name)
    assert_near(found[2 + i], of_all[:EXPERTS], 3e-3)
    # Tokens of a rank are quantised by themselves, and sums rounded.
    tolerance = 3e-2 if mma_type == FP8 else 4e-3
    assert_near(found[4 + i], of_all[EXPERTS:], tolerance)


@pytest.mark.parametrize("mma_type", [FP8, BF16])
def test_more_ranks_change_no_bit(mma_type):
  y, found = _of_ranks(2, mma_type)
  expected_y, expected = _of_ranks(1, mma_type)
  assert_same_bits(y, expected_y)
  jax.tree.map(assert_same_bits, found[:4], expected[:4])


def test_they_are_the_last_choices_with_weight_one():
  """To the bit, beside a layer whose tokens choose them by themselves."""
  layer, shared, _ = _layer()
  symmetric = dg.get_symm_buffer_for_mega_moe(
    *(mesh(1), "e", EXPERTS + SHARED, TOKENS, TOP_K + SHARED),
    *(HIDDEN, INTERMEDIATE),
  )

  def shard(*args):
    return dg.fp8_mega_moe(*args, symmetric, activation_clamp=CLAMP)

  y = jax.jit(over_ranks(shard, 1))(*arrays(_widened(layer, shared)))
  assert_same_bits(_of_ranks(2, FP8)[0], y)


def test_choices_are_renumbered_and_those_of_no_expert_dropped():
  """With an expert and three shared ones a rank, numbers are times 4."""
  arena = dg.get_symm_buffer_for_mega_moe(
    *(mesh(2), "e", 2, 6, 2, HIDDEN, INTERMEDIATE), num_shared_experts=3
  ).arena
  params = MegaMoeParams(arena, "e", 0, np.inf, True, Options())
  # What they would be in 32 bits: 0, 4, 0, 8.
  outside = [2**30, 2**30 + 1, -(2**30), 2]
  idx = np.array([[0, 1], outside[:2], outside[2:]] * 2, np.int32)

  def shard(idx):
    weights = jnp.full(idx.shape, 0.5, jnp.float32)
    given = MegaMoeOperands(idx, idx, weights, None, idx, idx)
    found = with_shared_choices(given, params)
    return found.topk_idx, found.topk_weights

  found, weights = over_ranks(shard, 2)(jnp.asarray(idx))
  first = [0, 4, 1, 2, 3], [-1, -1, 1, 2, 3], [-1, -1, 1, 2, 3]
  second = [0, 4, 5, 6, 7], [-1, -1, 5, 6, 7], [-1, -1, 5, 6, 7]
  np.testing.assert_array_equal(found, [*first, *second])
  np.testing.assert_array_equal(weights, [[0.5, 0.5, 1, 1, 1]] * 6)


def test_tokens_that_do_not_count_go_nowhere_and_statistics_are_of_others():
  layer, shared, _ = _layer()
  symmetric = buffer(2, num_shared=SHARED)

  def shard(x, idx, weights, l1, l2, shared_l1, shared_l2, stats):
    l1, l2 = dg.transform_weights_for_mega_moe(
      l1, l2, shared_l1=shared_l1, shared_l2=shared_l2
    )
    return dg.fp8_mega_moe(
      *(x, idx, weights, l1, l2, symmetric),
      num_tokens=5,
      cumulative_local_expert_recv_stats=stats,
      activation_clamp=CLAMP,
    )

  split = over_ranks(shard, 2, in_specs=(P("e"),) * 5 + (P(), P(), P("e")))
  start = np.arange(EXPERTS, dtype=np.int32) * 1000
  y, stats = jax.jit(split)(
    *arrays(layer), *map(jnp.asarray, shared), jnp.asarray(start)
  )
  is_live = np.arange(TOKENS) % (TOKENS // 2) < 5
  idx = layer.topk_idx[is_live]
  chosen = idx[(idx >= 0) & (idx < EXPERTS)]
  np.testing.assert_array_equal(
    stats, start + np.bincount(chosen, minlength=EXPERTS)
  )
  expected = np.asarray(_of_ranks(2, FP8)[0])
  expected = np.where(is_live[:, None], expected, np.zeros_like(expected))
  assert_same_bits(y, expected)


def _whole():
  """Returns the shared experts as one with twice the intermediate."""
  _, (l1, l2), _ = _layer()
  gate_and_up = l1.reshape(SHARED, 2, INTERMEDIATE, HIDDEN).swapaxes(0, 1)
  return gate_and_up.reshape(1, -1, HIDDEN), np.concatenate(l2, axis=1)[None]


@pytest.mark.parametrize("mma_type", [FP8, FP4])
def test_a_larger_expert_is_cut_and_codes_as_what_they_are_cast_from(mma_type):
  layer, shared, _ = _layer()
  cast = cast_to_fp4 if mma_type == FP4 else dg.per_block_cast_to_fp8
  l1, l2 = (cast(jnp.asarray(w)) for w in (layer.l1, layer.l2))

  def joined(shared):
    shared_l1, shared_l2 = (cast(jnp.asarray(w)) for w in shared)
    return dg.transform_weights_for_mega_moe(
      l1, l2, shared_l1=shared_l1, shared_l2=shared_l2
    )

  whole = joined(_whole())
  jax.tree.map(assert_same_bits, whole, joined(shared))
  assert whole[0].values.shape[0] == EXPERTS + SHARED


def test_a_larger_expert_computes_what_it_did():
  layer, _, dy = _layer()
  run = jax.jit(_layer_of(2, BF16, activation_clamp=CLAMP))
  whole = tuple(map(jnp.asarray, _whole()))
  y = run(*arrays(layer), *whole)
  assert_same_bits(y, _of_ranks(2, BF16)[0])
  routed, _ = mega_moe_oracle.computed(layer, dy, mega_moe_oracle.BF16, CLAMP)
  other = mega_moe_oracle.Layer(
    layer.x,
    np.zeros((TOKENS, 1), np.int32),
    np.ones((TOKENS, 1), np.float32),
    *_whole(),
  )
  own, _ = mega_moe_oracle.computed(other, dy, mega_moe_oracle.BF16, CLAMP)
  assert_near(y, routed + own, 4e-3)


def test_fp4_results_are_those_of_the_formula():
  layer, shared, dy = _layer()

  def fp4_and_decoded(weight):
    codes = cast_to_fp4(jnp.asarray(weight))
    wide = dg.cast_back_from_fp4(*codes, gran_k=32, use_packed_ue8m0=True)
    return codes, np.asarray(wide, np.float32)

  weights = [fp4_and_decoded(w) for w in (layer.l1, layer.l2, *shared)]
  codes, (l1, l2, *decoded) = zip(*weights, strict=True)
  y = jax.jit(_layer_of(2, FP4))(*arrays(layer[:3]), *codes)
  wide = _widened(layer._replace(l1=l1, l2=l2), decoded)
  expected, _ = mega_moe_oracle.computed(wide, dy, mega_moe_oracle.FP4)
  assert_near(y, expected, 3e-3)


_L1, _L2 = (2, 2 * INTERMEDIATE, HIDDEN), (2, HIDDEN, INTERMEDIATE)


@pytest.mark.parametrize(
  ("shared", "error", "message"),
  [
    ((_L1, None), TypeError, "shared_l1 and shared_l2 must both be given"),
    (
      ((1, 384, HIDDEN), (1, HIDDEN, 192)),
      ValueError,
      r"shared_l1 must have shape \[s, 2 n intermediate, hidden\] with"
      r" intermediate = 128 and hidden = 256, those of l1_weights, got"
      r" \(1, 384, 256\)",
    ),
    (
      ((1, 256, 128), (1, 128, 128)),
      *(ValueError, r"hidden = 256, those of l1_weights, got \(1, 256, 128\)"),
    ),
    (
      (_L1, (2, HIDDEN, 256)),
      *(ValueError, "shared_l2 must have shape .* as shared_l1 have it"),
    ),
    (
      ((1, 255, HIDDEN), (1, HIDDEN, 128)),
      *(ValueError, "shared_l1 must have the rows of gate and as many of up"),
    ),
  ],
)
def test_shared_weights_that_do_not_fit_are_refused(shared, error, message):
  l1, l2 = jnp.zeros(_L1, jnp.bfloat16), jnp.zeros(_L2, jnp.bfloat16)
  shared = [None if s is None else jnp.zeros(s, jnp.bfloat16) for s in shared]
  with pytest.raises(error, match=message):
    dg.transform_weights_for_mega_moe(
      l1, l2, shared_l1=shared[0], shared_l2=shared[1]
    )


def test_shared_weights_of_another_form_are_refused():
  l1, l2 = jnp.zeros(_L1, jnp.bfloat16), jnp.zeros(_L2, jnp.bfloat16)
  codes = [dg.per_block_cast_to_fp8(w) for w in (l1, l2)]

  def transformed(l1, l2, shared_l1, shared_l2):
    return dg.transform_weights_for_mega_moe(
      l1, l2, shared_l1=shared_l1, shared_l2=shared_l2
    )

  message = "shared_l1 must be bfloat16, as l1_weights are, got codes with"
  with pytest.raises(TypeError, match=message):
    transformed(l1, l2, *codes)
  with pytest.raises(TypeError, match="shared_l1 and shared_l2 must both have"):
    transformed(l1, l2, l1, codes[1])
  # Blocks of scales would be cut.
  l1, l2 = jnp.zeros((1, 384, 256)), jnp.zeros((1, 256, 192))
  larger = jnp.zeros((1, 768, 256)), jnp.zeros((1, 256, 384))
  cast = dg.per_block_cast_to_fp8
  with pytest.raises(ValueError, match="scales are for 128 elements and"):
    transformed(*map(cast, (l1, l2)), *map(cast, larger))
