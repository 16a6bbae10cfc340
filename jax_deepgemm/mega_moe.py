"""A mixture of experts over several GPUs as one operation.

Dispatch of tokens to the ranks of their experts, gate and up, SwiGLU, down, and
the sum over a token's experts: DeepGEMM's mega MoE, for code inside
`jax.shard_map`. On Hopper GPUs that share symmetric memory it is one chain of
kernels, elsewhere the same steps as operations of this package, with the same
results.
"""

from typing import Any

import jax

from jax_deepgemm.mega_moe_buffer import SymmBuffer
from jax_deepgemm.mega_moe_call import Result, layer_call
from jax_deepgemm.mega_moe_params import BF16, FP8


def fp8_mega_moe(
  x: Any,
  topk_idx: jax.Array,
  topk_weights: jax.Array,
  l1_weights: Any,
  l2_weights: Any,
  sym_buffer: SymmBuffer,
  *,
  num_tokens: jax.Array | int | None = None,
  cumulative_local_expert_recv_stats: jax.Array | None = None,
  activation_clamp: float | None = None,
  fast_math: bool = True,
) -> Result:
  """Returns y[t] = sum_s W2[e] @ h[t, s] with e = topk_idx[t, s], for FP8.

  With gate and up = W1[e] @ x[t], rounded to bfloat16, and a clamp c,

    h[t, s] = (silu(min(gate, c)) * clip(up, -c, c)) * topk_weights[t, s]

  in float32, rounded to bfloat16 and quantised 1 x 128. Results of W2 are
  rounded to bfloat16 and added in float32, in the order of s. Expert e lives on
  rank e // (num_experts / ranks) of the buffer's axis.

  Shared experts, where the buffer was made for some, are choices that all
  tokens have behind their own, with weight 1: each rank has these experts
  itself.

  x and the weights come with scales or plain. Plain ones are quantised here,
  1 x 128 and 128 x 128, and gradients flow to them and to topk_weights: those
  of the unquantised formula ("straight through") at the hidden values that FP8
  computed, in FP8 products as those of `moe_mlp`. What W1 gave is kept for the
  backward pass, with the name "moe_hidden" for policies of `jax.checkpoint`;
  rows that travel in the backward pass are bfloat16.

  All ranks of the axis must make the same calls with one buffer, of the same
  shapes and in the same order.

  Args:
    x: `[t, hidden]`, the tokens of this rank: bfloat16, or codes with float32
      scales `[t, hidden / 128]`. t is the same on each rank.
    topk_idx: integers `[t, top_k]`; what is no expert's number, -1 say, is no
      choice. A token chooses an expert at most once.
    topk_weights: float32 `[t, top_k]`.
    l1_weights: `[experts of a rank, 2 intermediate, hidden]`, the rows of gate
      and then those of up: bfloat16 or float32, or codes with scales per
      128 x 128. Shared experts are the last of a rank's.
    l2_weights: `[experts of a rank, hidden, intermediate]`, likewise.
    sym_buffer: from `get_symm_buffer_for_mega_moe`.
    num_tokens: how many of the t tokens count on this rank, a value of the
      device; rows of y from there on are zero.
    cumulative_local_expert_recv_stats: int32 `[experts of a rank]`, without
      shared ones, to which the rows that came for each expert are added.
    activation_clamp: c, at least 0, or None for no bound.
    fast_math: let kernels approximate the sigmoid, with relative errors below
      2**-18; else they are below 2**-21.

  Returns:
    y `[t, hidden]` bfloat16; with stats a pair, y and the new stats.

  Raises:
    TypeError: the form or dtype of an argument is wrong, or a gradient of a
      quantised operand is asked for.
    ValueError: a shape is wrong, or sym_buffer was destroyed, or is for another
      axis or other sizes.
    NotImplementedError: there is no kernel where
      options(implementation="kernel") asks for one.
  """
  return layer_call(
    FP8,
    x,
    topk_idx,
    topk_weights,
    l1_weights,
    l2_weights,
    sym_buffer,
    num_tokens,
    cumulative_local_expert_recv_stats,
    activation_clamp,
    fast_math,
  )


def bf16_mega_moe(
  x: jax.Array,
  topk_idx: jax.Array,
  topk_weights: jax.Array,
  l1_weights: jax.Array,
  l2_weights: jax.Array,
  sym_buffer: SymmBuffer,
  *,
  num_tokens: jax.Array | int | None = None,
  cumulative_local_expert_recv_stats: jax.Array | None = None,
  activation_clamp: float | None = None,
  fast_math: bool = True,
) -> Result:
  """Returns what `fp8_mega_moe` does, of bfloat16 that is never quantised.

  h is rounded to bfloat16 and no further. Gradients are those of bfloat16
  products.

  Args:
    x: `[t, hidden]` bfloat16.
    topk_idx: as in `fp8_mega_moe`.
    topk_weights: as in `fp8_mega_moe`.
    l1_weights: `[experts of a rank, 2 intermediate, hidden]` bfloat16.
    l2_weights: `[experts of a rank, hidden, intermediate]` bfloat16.
    sym_buffer: made with mma_type "bf16xbf16".
    num_tokens: as in `fp8_mega_moe`.
    cumulative_local_expert_recv_stats: as in `fp8_mega_moe`.
    activation_clamp: as in `fp8_mega_moe`.
    fast_math: as in `fp8_mega_moe`.

  Returns:
    y `[t, hidden]` bfloat16; with stats a pair, y and the new stats.

  Raises:
    TypeError: the form or dtype of an argument is wrong.
    ValueError: a shape is wrong, or sym_buffer was destroyed, or is for another
      axis or other sizes.
    NotImplementedError: there is no kernel where
      options(implementation="kernel") asks for one.
  """
  return layer_call(
    BF16,
    x,
    topk_idx,
    topk_weights,
    l1_weights,
    l2_weights,
    sym_buffer,
    num_tokens,
    cumulative_local_expert_recv_stats,
    activation_clamp,
    fast_math,
  )
