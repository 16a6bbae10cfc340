"""Plans and slices against what `jax.lax.ragged_all_to_all` documents."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jax_deepgemm import expert_exchange, expert_plan
from jax_deepgemm.expert_exchange import exchange, slices_of
from jax_deepgemm.expert_plan import make_plan
from tests.expert_parallel import moe_layer
from tests.expert_parallel.moe_layer import EXPERTS, IDS, RANKS, ROWS

PER_RANK = moe_layer.TOKENS * moe_layer.TOP_K


@functools.cache
def exchanged(max_rows):
  """Returns a function of ids: slices, and what was sent both ways."""

  def shard(ids):
    plan = make_plan(ids, EXPERTS, "a", max_rows).plan
    rank = jax.lax.axis_index("a")
    # Rows that tell where they are from.
    row = jnp.arange(PER_RANK) + rank * PER_RANK
    there = exchange(
      row[:, None], max_rows, plan.at_source, plan.at_expert, "a"
    )
    back = exchange(there, PER_RANK, plan.at_expert, plan.at_source, "a")
    forth = slices_of(plan.at_source, plan.at_expert)
    home = slices_of(plan.at_expert, plan.at_source)
    results = (forth, home, there, back, plan.order, plan.is_kept)
    return jax.tree.map(lambda x: x[None], results)

  return jax.jit(
    jax.shard_map(
      shard, mesh=moe_layer.mesh(RANKS), in_specs=P("a"), out_specs=P("a")
    )
  )


def ragged_all_to_all(operands, rows, slices):
  """Returns what its documentation says, -1 where nothing is written."""
  offsets, sizes, remote_offsets, received = (np.asarray(x) for x in slices)
  per_rank = sizes.shape[1] // RANKS
  # What one sends is what the other expects.
  sent = sizes.reshape(RANKS, RANKS, per_rank)
  expected = received.reshape(RANKS, RANKS, per_rank)
  np.testing.assert_array_equal(sent, expected.transpose(1, 0, 2))
  results = np.full((RANKS, rows, *operands.shape[2:]), -1)
  for source in range(RANKS):
    for i, size in enumerate(sizes[source]):
      first = offsets[source, i]
      target = remote_offsets[source, i]
      assert min(size, first, target) >= 0
      assert first + size <= operands.shape[1]
      assert target + size <= rows
      part = results[i // per_rank, target : target + size]
      assert np.all(part == -1)  # Nobody else writes there.
      part[:] = operands[source, first : first + size]
  return results


@pytest.mark.parametrize("max_rows", [ROWS, 13])
@pytest.mark.parametrize("ids", IDS)
def test_the_emulation_does_what_the_collective_documents(
  ids, max_rows, monkeypatch
):
  # Integers cannot be NaN.
  monkeypatch.setattr(
    expert_exchange,
    "unwritten",
    lambda rows, like: jnp.full((rows, *like.shape[1:]), -1, like.dtype),
  )
  forth, home, there, back, order, is_kept = jax.device_get(
    exchanged(max_rows)(jnp.asarray(IDS[ids], jnp.int32))
  )
  mine = np.arange(RANKS * PER_RANK).reshape(RANKS, PER_RANK, 1)
  expected = ragged_all_to_all(mine, max_rows, forth)
  np.testing.assert_array_equal(there, expected)
  expected = ragged_all_to_all(there, PER_RANK, home)
  np.testing.assert_array_equal(back, expected)
  # Every row that was not dropped came home.
  for rank in range(RANKS):
    kept = is_kept[rank].reshape(-1)[order[rank]]
    np.testing.assert_array_equal(
      back[rank, :, 0], np.where(kept, mine[rank, :, 0], -1)
    )


@pytest.mark.parametrize("most_keys", [0, 2**32])
def test_equal_experts_stay_in_order(most_keys, monkeypatch):
  monkeypatch.setattr(expert_plan, "MOST_KEYS", most_keys)
  chosen = IDS["random"].reshape(-1)
  order = expert_plan.sorted_order(jnp.asarray(chosen, jnp.int32), EXPERTS)
  assert order.dtype == jnp.int32
  np.testing.assert_array_equal(order, np.argsort(chosen, kind="stable"))


def test_ranges_are_sent_in_parts_enough_for_the_gpu():
  forth, *_ = exchanged(ROWS)(jnp.asarray(IDS["random"], jnp.int32))
  for x in forth:
    assert x.shape == (RANKS, expert_exchange.WANTED_SLICES)
