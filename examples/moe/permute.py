"""Tokens to their experts and back, with all-gather and reduce-scatter.

Each device takes the tokens of all devices along the expert axis, sorts the
choices that fell on its own experts to the front, and later adds up what came
of them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from moe.mesh import EXPERT


class Dispatched(NamedTuple):
  """Rows of the experts of this device.

  Attributes:
    tokens: `[rows, d]`, sorted by expert; rows past the sum of `group_sizes`
      are those of other devices' experts.
    group_sizes: int32 `[local experts]`.
    order: int32 `[rows]`, which choice a row is.
  """

  tokens: jax.Array
  group_sizes: jax.Array
  order: jax.Array


def dispatch(
  x: jax.Array, expert_ids: jax.Array, num_experts: int
) -> Dispatched:
  """Returns each choice's token, sorted by expert.

  Args:
    x: `[t, d]`, this device's tokens.
    expert_ids: int32 `[t, top_k]`.
    num_experts: on all devices.
  """
  x = jax.lax.all_gather(x, EXPERT, tiled=True)
  ids = jax.lax.all_gather(expert_ids, EXPERT, tiled=True).reshape(-1)
  local = num_experts // jax.lax.axis_size(EXPERT)
  ids -= local * jax.lax.axis_index(EXPERT)
  ids = jnp.where((ids >= 0) & (ids < local), ids, local)
  order = jnp.argsort(ids, stable=True)
  group_sizes = jnp.bincount(ids, length=local + 1)[:local]
  choices = jnp.repeat(x, expert_ids.shape[1], axis=0)
  tokens = _take(choices, order)
  return Dispatched(tokens, group_sizes.astype(jnp.int32), order)


def combine(
  rows: jax.Array, dispatched: Dispatched, weights: jax.Array
) -> jax.Array:
  """Returns the weighted sum of each token's rows, float32.

  Args:
    rows: `[rows, d]`, what the experts made of `dispatched.tokens`.
    dispatched: the result of `dispatch`.
    weights: float32 `[t, top_k]`.
  """
  weights = jax.lax.all_gather(weights, EXPERT, tiled=True)
  choices = _take(rows, jnp.argsort(dispatched.order))
  choices = choices.reshape(*weights.shape, -1).astype(jnp.float32)
  y = (choices * weights[..., None]).sum(axis=1)
  return jax.lax.psum_scatter(y, EXPERT, tiled=True)


def _take(rows: jax.Array, order: jax.Array) -> jax.Array:
  """Returns `rows[order]` of a permutation; its gradient is one, too."""
  return rows.at[order].get(unique_indices=True, mode="promise_in_bounds")
