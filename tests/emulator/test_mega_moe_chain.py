"""A layer on one rank, from dispatch to sums, beside its steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from tests.emulator import mega_moe_chain
from tests.emulator.emulator import Emulator
from tests.mega_moe.layers import assert_near, cast_to_fp4

EXPERTS, TOP_K, TOKENS, NUM_TOKENS = 4, 2, 8, 7
HIDDEN, INTERMEDIATE, CLAMP = 128, 128, 1.5


def _operands(cast, num_shared):
  """Returns x and weights, and choices, some of no expert.

  Weights are also of shared experts, behind the others. x and they have scales,
  unless there is no cast.
  """
  cast_weight = (lambda w: w) if cast is None else cast
  random = np.random.default_rng(0)

  def normal(*shape):
    return jnp.asarray(random.standard_normal(shape), jnp.bfloat16)

  x = normal(TOKENS, HIDDEN)
  idx = np.argsort(random.random((TOKENS, EXPERTS)), axis=1)[:, :TOP_K]
  idx[1, 0], idx[6, 1] = -1, EXPERTS
  weights = random.standard_normal((TOKENS, TOP_K))
  return (
    x if cast is None else dg.per_token_cast_to_fp8(x),
    idx.astype(np.int32),
    weights.astype(np.float32),
    cast_weight(normal(EXPERTS + num_shared, 2 * INTERMEDIATE, HIDDEN) / 12),
    cast_weight(normal(EXPERTS + num_shared, HIDDEN, INTERMEDIATE) / 12),
  )


def _with_shared(idx, weights, num_shared):
  """Returns the choices of one rank's tokens, shared experts behind."""
  shape = (TOKENS, num_shared)
  shared = np.broadcast_to(EXPERTS + np.arange(num_shared), shape)
  idx = np.concatenate([np.where(idx < EXPERTS, idx, -1), shared], axis=1)
  weights = np.concatenate([weights, np.ones(shape)], axis=1)
  return idx.astype(np.int32), weights.astype(np.float32)


def _steps(function, symmetric, mesh, operands):
  def shard(*args):
    return function(
      *args, symmetric, num_tokens=NUM_TOKENS, activation_clamp=CLAMP
    )

  layer = jax.shard_map(shard, mesh=mesh, in_specs=P("e"), out_specs=P("e"))
  return jax.jit(layer)(*operands)


@pytest.mark.parametrize(
  ("mma_type", "function", "cast", "num_shared"),
  [
    ("fp8xfp8", dg.fp8_mega_moe, dg.per_block_cast_to_fp8, 1),
    ("fp8xfp4", dg.fp8_fp4_mega_moe, cast_to_fp4, 0),
    ("bf16xbf16", dg.bf16_mega_moe, None, 1),
  ],
)
def test_the_launches_of_a_layer_compute_what_its_steps_do(
  toolchain, monkeypatch, mma_type, function, cast, num_shared
):
  mesh = jax.make_mesh(
    (1,), ("e",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1]
  )
  symmetric = dg.get_symm_buffer_for_mega_moe(
    *(mesh, "e", EXPERTS, TOKENS, TOP_K, HIDDEN, INTERMEDIATE),
    mma_type=mma_type,
    num_shared_experts=num_shared,
  )
  operands = _operands(cast, num_shared)
  choices = _with_shared(*operands[1:3], num_shared)
  (y, sizes, hidden) = mega_moe_chain.results_of(
    symmetric.arena,
    mega_moe_chain.named(
      *(symmetric.arena, operands[0], *choices, *operands[3:]),
      clamp=CLAMP,
      num_tokens=NUM_TOKENS,
    ),
    Emulator(toolchain),
    0,
    monkeypatch,
  )
  # Approximate sigmoids may make neighbours of codes.
  assert_near(y, _steps(function, symmetric, mesh, operands), 1e-2)
  np.testing.assert_array_equal(y[NUM_TOKENS:].astype(float), 0)
  chosen = choices[0][:NUM_TOKENS]
  experts = EXPERTS + num_shared
  chosen = chosen[(chosen >= 0) & (chosen < experts)]
  np.testing.assert_array_equal(sizes, np.bincount(chosen, minlength=experts))
  live, others = np.split(hidden.astype(float), [sizes.sum()])
  assert np.all(np.isfinite(live))
  # Nothing is written for rows that nobody sent.
  assert np.all(np.isnan(others))
