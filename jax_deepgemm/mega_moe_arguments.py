"""Checks of what `fp8_mega_moe` and its kin are given, at trace time."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.gemm_operands import (
  Operand,
  as_array,
  canonical_operand,
  values_of,
)
from jax_deepgemm.grouped_operands import bf16_operand
from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.mega_moe_buffer import SymmBuffer
from jax_deepgemm.mega_moe_params import MegaMoeOperands
from jax_deepgemm.mega_moe_weight_arguments import (
  checked_weights,
  shape_of_weight,
)
from jax_deepgemm.straight_through import PER_TOKEN


def check_buffer(buffer: Any, mma_type: str) -> None:
  """Returns nothing; raises unless the buffer serves this call.

  Args:
    buffer: the argument sym_buffer.
    mma_type: of the function that was called.

  Raises:
    TypeError: it is no buffer.
    ValueError: it was destroyed, was made for other operands or for an axis of
      another size, or this is not inside `shard_map` along that axis.
  """
  if not isinstance(buffer, SymmBuffer):
    raise TypeError(
      "sym_buffer must be what get_symm_buffer_for_mega_moe returned, got"
      f" {type(buffer).__name__}"
    )
  buffer.check_usable()
  arena = buffer.arena
  if arena.mma_type != mma_type:
    raise ValueError(
      f"sym_buffer must be made with mma_type {mma_type!r}, got"
      f" {arena.mma_type!r}"
    )
  try:
    ranks = jax.lax.axis_size(buffer.axis_name)
  except NameError:
    raise ValueError(
      "sym_buffer must be used inside jax.shard_map along its axis"
      f" {buffer.axis_name!r}; there is no such axis here"
    ) from None
  if ranks != arena.num_ranks:
    raise ValueError(
      f"sym_buffer must be made for axis {buffer.axis_name!r} of size {ranks},"
      f" as it is here, got one for {arena.num_ranks} ranks"
    )


def checked_operands(
  x: Any,
  topk_idx: Any,
  topk_weights: Any,
  l1_weights: Any,
  l2_weights: Any,
  num_tokens: Any,
  arena: MegaMoeArena,
) -> MegaMoeOperands:
  """Returns the operands in the one form that the layer computes with.

  Raises:
    TypeError: a form or dtype is wrong.
    ValueError: a shape is not that of the buffer.
  """
  if arena.has_scales:
    x = checked_tokens(x)
  else:
    x = bf16_operand("x", x, "[t, hidden]")
  num_rows = _check_tokens(x, arena)
  l1, l2 = checked_weights(l1_weights, l2_weights, arena.mma_type)
  wanted = (arena.experts_per_rank, 2 * arena.intermediate, arena.hidden)
  if shape_of_weight(l1) != wanted:
    raise ValueError(
      "l1_weights must have shape [experts of a rank, 2 intermediate_hidden,"
      f" hidden] = {wanted}, as sym_buffer was made for"
      f"{_with_shared_experts(arena)}, got {shape_of_weight(l1)}"
    )
  shape = (num_rows, arena.routed_top_k)
  return MegaMoeOperands(
    x,
    _checked_indices(topk_idx, shape),
    _checked_topk_weights(topk_weights, shape),
    _checked_num_tokens(num_tokens),
    l1,
    l2,
  )


def checked_tokens(x: Any) -> Operand:
  """Returns the tokens of an FP8 layer: plain bfloat16, or codes and scales.

  Raises:
    TypeError: a form or dtype is wrong.
    ValueError: a shape is wrong.
  """
  x = canonical_operand("x", x, rows="t", transposed=False, recipe=PER_TOKEN)
  if isinstance(x, jax.Array) and x.dtype != jnp.bfloat16:
    raise TypeError(
      "x must be bfloat16, or codes with scales, got"
      f" {x.dtype.name} of shape {x.shape}"
    )
  return x


def checked_stats(stats: Any, arena: MegaMoeArena) -> jax.Array | None:
  """Returns cumulative_local_expert_recv_stats.

  Raises:
    TypeError: it is no int32 array.
    ValueError: its shape is wrong.
  """
  if stats is None:
    return None
  name = "cumulative_local_expert_recv_stats"
  stats = as_array(name, stats)
  if stats.dtype != jnp.int32:
    raise TypeError(f"{name} must be an int32 array, got {stats.dtype.name}")
  wanted = (arena.routed_per_rank,)
  if stats.shape != wanted:
    raise ValueError(
      f"{name} must have shape [experts of a rank] = {wanted}, got"
      f" {stats.shape}"
    )
  return stats


def checked_activation_clamp(clamp: Any) -> float:
  """Returns the bound, infinity for None.

  Raises:
    TypeError: it is no number that is known while tracing.
    ValueError: it is negative or NaN.
  """
  if clamp is None:
    return math.inf
  if isinstance(clamp, bool) or not isinstance(
    clamp, (int, float, np.integer, np.floating)
  ):
    raise TypeError(f"activation_clamp must be a number or None, got {clamp!r}")
  if not clamp >= 0:
    raise ValueError(f"activation_clamp must be >= 0, got {clamp!r}")
  return float(clamp)


def _with_shared_experts(arena: MegaMoeArena) -> str:
  count = arena.num_shared_experts
  return f" with num_shared_experts {count}" if count else ""


def _check_tokens(x: Operand, arena: MegaMoeArena) -> int:
  """Returns how many tokens there are; raises unless the buffer has room."""
  num_tokens, hidden = values_of(x).shape
  if hidden != arena.hidden:
    raise ValueError(
      f"x must have {arena.hidden} columns, the hidden of sym_buffer, got"
      f" shape {(num_tokens, hidden)}"
    )
  if num_tokens > arena.max_tokens:
    raise ValueError(
      f"x must have at most {arena.max_tokens} tokens, the"
      f" num_max_tokens_per_rank of sym_buffer, got {num_tokens}"
    )
  return num_tokens


def _checked_indices(topk_idx: Any, shape: tuple[int, int]) -> jax.Array:
  found = str(getattr(topk_idx, "dtype", type(topk_idx).__name__))
  dtype = getattr(topk_idx, "dtype", None)
  if dtype is None or not jnp.issubdtype(dtype, jnp.integer):
    raise TypeError(f"topk_idx must be an array of integers, got {found}")
  _check_choices("topk_idx", topk_idx, shape)
  # A number that int32 does not hold is no expert's, whatever is cut off.
  largest = jnp.iinfo(jnp.int32).max
  if jnp.iinfo(dtype).max > largest:
    numpy = np if isinstance(topk_idx, np.ndarray) else jnp
    lowest = 0 if jnp.issubdtype(dtype, jnp.unsignedinteger) else -1
    topk_idx = numpy.clip(topk_idx, lowest, largest)
  return jnp.asarray(topk_idx, jnp.int32)


def _checked_topk_weights(weights: Any, shape: tuple[int, int]) -> jax.Array:
  weights = as_array("topk_weights", weights)
  if weights.dtype != jnp.float32:
    raise TypeError(
      f"topk_weights must be a float32 array, got {weights.dtype.name}"
    )
  _check_choices("topk_weights", weights, shape)
  return weights


def _check_choices(name: str, x: Any, shape: tuple[int, int]) -> None:
  if tuple(x.shape) != shape:
    raise ValueError(
      f"{name} must have shape [tokens, num_topk of sym_buffer] = {shape}, got"
      f" {tuple(x.shape)}"
    )


def _checked_num_tokens(num_tokens: Any) -> jax.Array | None:
  """Returns int32 `[1]`, or None."""
  if num_tokens is None:
    return None
  found = jnp.asarray(num_tokens)
  if not jnp.issubdtype(found.dtype, jnp.integer) or found.size != 1:
    raise TypeError(
      "num_tokens must be one integer, on the device or not, got"
      f" {found.dtype.name} of shape {found.shape}"
    )
  return found.astype(jnp.int32).reshape(1)
