"""Which row of which rank goes where, in an exchange between expert ranks."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

AxisName = Any  # str, or a tuple of them.

# Choices times experts whose numbers fit a key of 32 bits.
MOST_KEYS = 2**32


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Segments:
  """Ranges of consecutive rows, one for each other rank and expert there.

  All are int32 `[ranks, experts_per_rank]`. Ranges of one array are disjoint
  and inside it.

  Attributes:
    offsets: first row of each range in this rank's array.
    sizes: rows of each range.
    remote_offsets: first row of each range in the other rank's array.
  """

  offsets: jax.Array
  sizes: jax.Array
  remote_offsets: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ExpertPlan:
  """How `ep_dispatch` moved rows, and how `ep_combine` moves them back.

  Choice (i, c) of a rank is expert_ids[i, c]. A rank keeps its choices sorted
  by expert, dropped ids last; each expert's rows are one range, and lie in one
  range at the rank of the expert, sorted by expert and then by source rank.

  Attributes:
    order: int32 `[t * top_k]`, the choice i * top_k + c at each sorted place.
    places: int32 `[t, top_k]`, the sorted place of each choice.
    is_kept: bool `[t, top_k]`, whether the choice has a row at its expert.
    at_source: ranges of this rank's choices, by rank of the expert.
    at_expert: ranges of this rank's experts, by rank of the source.
    axis_name: mesh axes that the experts are split over.
    max_rows: rows of the array that the experts compute on.
  """

  order: jax.Array
  places: jax.Array
  is_kept: jax.Array
  at_source: Segments
  at_expert: Segments
  axis_name: AxisName = dataclasses.field(metadata={"static": True})
  max_rows: int = dataclasses.field(metadata={"static": True})


class Plans(NamedTuple):
  """A plan, and what it means for the experts of this rank.

  Attributes:
    plan: of the exchange.
    group_sizes: int32 `[experts_per_rank]`, rows of each expert.
    num_dropped: int32, rows for these experts that found no room.
  """

  plan: ExpertPlan
  group_sizes: jax.Array
  num_dropped: jax.Array


def make_plan(
  expert_ids: jax.Array, num_experts: int, axis_name: AxisName, max_rows: int
) -> Plans:
  """Returns the plan of an exchange; one all-gather of counts.

  Args:
    expert_ids: int `[t, top_k]`; what is no expert's number is dropped.
    num_experts: of all ranks.
    axis_name: mesh axes that the experts are split over.
    max_rows: room at each rank.
  """
  rank = jax.lax.axis_index(axis_name)
  experts = _experts(expert_ids, num_experts)
  chosen = experts.reshape(-1)
  order = sorted_order(chosen, num_experts)
  places = (
    jnp.zeros_like(order)
    .at[order]
    .set(jnp.arange(order.size, dtype=jnp.int32), unique_indices=True)
  )
  places = places.reshape(expert_ids.shape)
  counts = _all_counts(chosen, num_experts, axis_name)
  # Rows by rank of the expert, expert there, and rank of the source.
  ranks = counts.shape[0]
  wanted = counts.reshape(ranks, ranks, -1).transpose(1, 2, 0)
  starts = _exclusive_sum(wanted.reshape(ranks, -1)).reshape(wanted.shape)
  sizes = jnp.clip(max_rows - starts, 0, wanted)
  starts = jnp.minimum(starts, max_rows)
  # Where the rows of each expert lie among the sorted choices of each rank.
  origins = _exclusive_sum(counts).reshape(ranks, ranks, -1)
  at_source = Segments(
    _at(origins, rank, 0), _at(sizes, rank, 2), _at(starts, rank, 2)
  )
  at_expert = Segments(
    _at(starts, rank, 0).T, _at(sizes, rank, 0).T, _at(origins, rank, 1)
  )
  # A dropped id counts as of the last expert, at a place past its range.
  last = jnp.minimum(experts, num_experts - 1)
  is_kept = places < (at_source.offsets + at_source.sizes).reshape(-1)[last]
  plan = ExpertPlan(
    order, places, is_kept, at_source, at_expert, axis_name, max_rows
  )
  group_sizes = at_expert.sizes.sum(0, dtype=jnp.int32)
  wanted_here = _at(wanted, rank, 0).sum(dtype=jnp.int32)
  num_dropped = wanted_here - group_sizes.sum(dtype=jnp.int32)
  return Plans(plan, group_sizes, num_dropped)


def sorted_order(chosen: jax.Array, num_experts: int) -> jax.Array:
  """Returns the stable order, int32, of numbers from 0 to num_experts."""
  count = max(chosen.size, 1)
  if (num_experts + 1) * count > MOST_KEYS:
    return jnp.argsort(chosen, stable=True).astype(jnp.int32)
  # One array of distinct keys is sorted faster than pairs of key and place.
  keys = chosen.astype(jnp.uint32) * np.uint32(count)
  keys = keys + jnp.arange(chosen.size, dtype=jnp.uint32)
  return (jnp.sort(keys, stable=False) % np.uint32(count)).astype(jnp.int32)


def _experts(expert_ids: jax.Array, num_experts: int) -> jax.Array:
  """Returns int32 ids, num_experts in place of each that is no expert's."""
  if expert_ids.dtype.itemsize < 4:  # num_experts may exceed its range.
    expert_ids = expert_ids.astype(jnp.int32)
  is_expert = (expert_ids >= 0) & (expert_ids < num_experts)
  return jnp.where(is_expert, expert_ids, num_experts).astype(jnp.int32)


def _all_counts(
  chosen: jax.Array, num_experts: int, axis_name: AxisName
) -> jax.Array:
  """Returns how often each rank chose each expert, `[ranks, num_experts]`."""
  counts = jnp.zeros((1, num_experts), jnp.int32)
  counts = counts.at[0, chosen].add(1, mode="drop")
  if jax.lax.axis_size(axis_name) == 1:
    return counts
  return jax.lax.all_gather(counts, axis_name, tiled=True)


def _exclusive_sum(x: jax.Array) -> jax.Array:
  """Returns y[i, j] = sum_{h<j} x[i, h].

  By comparing all pairs: one kernel, where jnp.cumsum is a dozen small ones.
  """
  place = jnp.arange(x.shape[1], dtype=jnp.int32)
  is_before = place[:, None] > place
  return jnp.where(is_before, x[:, None, :], 0).sum(2, dtype=jnp.int32)


def _at(x: jax.Array, index: jax.Array, axis: int) -> jax.Array:
  return jax.lax.dynamic_index_in_dim(x, index, axis, keepdims=False)
