"""Which implementation of `mega_moe` computes a call."""

import functools

import jax
import jax.numpy as jnp

from jax_deepgemm.mega_moe_params import MegaMoeOperands, MegaMoeParams
from jax_deepgemm.mega_moe_unfused import MegaMoeResults, forward
from jax_deepgemm.primitives.mega_moe import fused


def run(operands: MegaMoeOperands, params: MegaMoeParams) -> MegaMoeResults:
  """Returns the layer's results.

  Args:
    operands: x and weights as products read them: with scales, or in bfloat16.
    params: of the layer.
  """
  num_tokens = operands.topk_idx.shape[0]
  if num_tokens == 0:
    return _of_no_tokens(operands, params)
  implementation = params.options.implementation
  if implementation == "reference":
    return forward(operands, params)
  kernels = functools.partial(_fused, params=params)
  if implementation == "kernel":
    return kernels(operands)
  step_by_step = functools.partial(forward, params=params)
  return jax.lax.platform_dependent(
    operands, cuda=kernels, default=step_by_step
  )


def _fused(operands: MegaMoeOperands, params: MegaMoeParams) -> MegaMoeResults:
  num_tokens = operands.topk_idx.shape[0]
  return MegaMoeResults(
    *fused(
      # Each with its scales, if it has any.
      *jax.tree.leaves(operands.x),
      operands.topk_idx,
      operands.topk_weights,
      *jax.tree.leaves(operands.l1),
      *jax.tree.leaves(operands.l2),
      operands.num_tokens,
      arena=params.arena,
      handle=params.handle,
      clamp=params.clamp,
      fast_math=params.fast_math,
      expected_m=params.expected_m(num_tokens),
      options=params.options,
    )
  )


def _of_no_tokens(
  operands: MegaMoeOperands, params: MegaMoeParams
) -> MegaMoeResults:
  """Returns results without rows, of the axes that the operands vary over.

  All ranks have as many tokens, so none waits for this one.
  """
  arena = params.arena
  like = operands.topk_idx.sum(dtype=jnp.int32)
  y = jnp.zeros((0, arena.hidden), jnp.bfloat16)
  sizes = jnp.zeros(arena.experts_per_rank, jnp.int32)
  hidden = jnp.zeros((0, 2 * arena.intermediate), jnp.bfloat16)
  return MegaMoeResults(*(x + like.astype(x.dtype) for x in (y, sizes, hidden)))
