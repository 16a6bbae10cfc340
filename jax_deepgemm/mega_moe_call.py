"""A layer's call, from the arguments of public functions to its results."""

from typing import Any

import jax

from jax_deepgemm import mega_moe_arguments
from jax_deepgemm.grouped_operands import checked_flag
from jax_deepgemm.mega_moe_gradient import mega_moe
from jax_deepgemm.mega_moe_params import MegaMoeParams
from jax_deepgemm.mega_moe_shared import with_shared_choices
from jax_deepgemm.options import current

Result = jax.Array | tuple[jax.Array, jax.Array]


def layer_call(
  mma_type: str,
  x: Any,
  topk_idx: Any,
  topk_weights: Any,
  l1_weights: Any,
  l2_weights: Any,
  buffer: Any,
  num_tokens: Any,
  stats: Any,
  activation_clamp: Any,
  fast_math: Any,
) -> Result:
  """Returns y, or y and the new stats; arguments are those of `fp8_mega_moe`.

  Args:
    mma_type: that the buffer must be made with.
    x: the tokens.
    topk_idx: the experts that they chose.
    topk_weights: with which weights.
    l1_weights: gate and up of this rank's experts.
    l2_weights: their down.
    buffer: the argument sym_buffer.
    num_tokens: how many tokens count, or None.
    stats: cumulative_local_expert_recv_stats, or None.
    activation_clamp: the bound, or None.
    fast_math: whether the sigmoid may be approximated.
  """
  mega_moe_arguments.check_buffer(buffer, mma_type)
  arena = buffer.arena
  operands = mega_moe_arguments.checked_operands(
    x, topk_idx, topk_weights, l1_weights, l2_weights, num_tokens, arena
  )
  stats = mega_moe_arguments.checked_stats(stats, arena)
  params = MegaMoeParams(
    arena=arena,
    axis_name=buffer.axis_name,
    handle=buffer.handle,
    clamp=mega_moe_arguments.checked_activation_clamp(activation_clamp),
    fast_math=checked_flag("fast_math", fast_math),
    options=current(),
  )
  y, group_sizes = mega_moe(with_shared_choices(operands, params), params)
  if stats is None:
    return y
  return y, stats + group_sizes[: arena.routed_per_rank]
