"""Rows of tokens to the ranks of their experts, with weights, and back.

As `ep_dispatch` and `ep_combine` move them, but for rows that are several
arrays: codes and scales travel as they are.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jax_deepgemm import packed_rows
from jax_deepgemm.expert_plan import ExpertPlan, Plans, make_plan
from jax_deepgemm.expert_rows import (
  in_order,
  of_choices,
  to_experts,
  to_sources,
)
from jax_deepgemm.mega_moe_params import MegaMoeParams


def plan_of(
  topk_idx: jax.Array, num_tokens: jax.Array | None, params: MegaMoeParams
) -> Plans:
  """Returns where the rows of these choices go.

  Args:
    topk_idx: `[t, top_k]`.
    num_tokens: int32 `[1]`: choices of tokens from it on do not count.
    params: of the layer.
  """
  if num_tokens is not None:
    token = jnp.arange(topk_idx.shape[0], dtype=jnp.int32)[:, None]
    topk_idx = jnp.where(token < num_tokens, topk_idx, -1)
  arena = params.arena
  return make_plan(
    topk_idx, arena.num_experts, params.axis_name, arena.capacity
  )


def dispatched(
  of_tokens: Sequence[jax.Array], weights: jax.Array, plan: ExpertPlan
) -> tuple[list[jax.Array], jax.Array]:
  """Returns the rows that arrive at this rank, and the weights of choices.

  Sorted by expert, source rank and choice; rows past them may hold anything.

  Args:
    of_tokens: `[t, ...]` each.
    weights: `[t, top_k]`.
    plan: of the exchange.

  Returns:
    `[max_rows, ...]` of each array, and `[max_rows]`.
  """
  weights = jnp.take(weights.reshape(-1), plan.order, mode="clip")
  sent = [*(in_order(x, plan) for x in of_tokens), weights]
  arrived = to_experts(packed_rows.pack(sent), plan)
  *rows, weights = packed_rows.unpack(arrived, map(packed_rows.row_of, sent))
  return rows, weights


def returned(
  rows: jax.Array, values: jax.Array | None, plan: ExpertPlan
) -> tuple[jax.Array, jax.Array | None]:
  """Returns each token's rows summed, and values at their choices.

  Sums are in float32, in the order of choices, zero for those without a row.

  Args:
    rows: `[max_rows, d]`, as they were dispatched.
    values: `[max_rows]`, or None.
    plan: of the exchange.

  Returns:
    `[t, d]` in the dtype of rows, and `[t, top_k]` or None.
  """
  if values is None:
    back = to_sources(rows, plan)
    return _summed(back, plan), None
  sent = [rows, values]
  back = to_sources(packed_rows.pack(sent), plan)
  back, values = packed_rows.unpack(back, map(packed_rows.row_of, sent))
  found = jnp.take(values, plan.places, axis=0, mode="clip")
  zero = jnp.zeros((), values.dtype)
  return _summed(back, plan), jnp.where(plan.is_kept, found, zero)


def _summed(rows: jax.Array, plan: ExpertPlan) -> jax.Array:
  total = functools.reduce(jnp.add, of_choices(rows, plan))
  return total.astype(rows.dtype)
