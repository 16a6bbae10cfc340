"""Shared experts: choices that every token has beside its own.

To the exchange they are experts like others. Each rank has its routed experts
and then its shared ones, numbered one rank after the other, and a token's last
choices are the shared experts of its own rank, with weight 1. So kernels, steps
and gradients know of none.
"""

import jax
import jax.numpy as jnp

from jax_deepgemm.mega_moe_params import MegaMoeOperands, MegaMoeParams
from jax_deepgemm.primitives.varying import to_common_varying


def with_shared_choices(
  operands: MegaMoeOperands, params: MegaMoeParams
) -> MegaMoeOperands:
  """Returns operands whose tokens choose the shared experts, too.

  Args:
    operands: topk_idx and topk_weights `[t, routed_top_k]`, of routed experts.
    params: of the layer.

  Returns:
    The same with `[t, top_k]`, numbers of routed and shared experts.
  """
  num_shared = params.arena.num_shared_experts
  if not num_shared:
    return operands
  num_tokens = operands.topk_idx.shape[0]
  shared = _shared_of_this_rank(params)
  own, shared = to_common_varying(
    (_renumbered(operands.topk_idx, params), shared)
  )
  shared = jnp.broadcast_to(shared, (num_tokens, num_shared))
  ones = jnp.ones((num_tokens, num_shared), jnp.float32)
  weights, ones = to_common_varying((operands.topk_weights, ones))
  return operands._replace(
    topk_idx=jnp.concatenate([own, shared], axis=1),
    topk_weights=jnp.concatenate([weights, ones], axis=1),
  )


def _renumbered(topk_idx: jax.Array, params: MegaMoeParams) -> jax.Array:
  """Returns numbers among all experts; -1 for what is none of the routed."""
  arena = params.arena
  rank = topk_idx // arena.routed_per_rank
  is_expert = (topk_idx >= 0) & (rank < arena.num_ranks)
  return jnp.where(is_expert, topk_idx + rank * arena.num_shared_experts, -1)


def _shared_of_this_rank(params: MegaMoeParams) -> jax.Array:
  """Returns their numbers, int32 `[num_shared_experts]`."""
  arena = params.arena
  first = jax.lax.axis_index(params.axis_name) * arena.experts_per_rank
  own = jnp.arange(arena.num_shared_experts, dtype=jnp.int32)
  return first + arena.routed_per_rank + own
