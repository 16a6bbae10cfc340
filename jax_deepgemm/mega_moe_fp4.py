"""`fp8_mega_moe` with the experts' weights in FP4."""

from collections.abc import Sequence
from typing import Any

import jax

from jax_deepgemm.fp4_operands import FP4_RECIPE
from jax_deepgemm.mega_moe_buffer import SymmBuffer
from jax_deepgemm.mega_moe_call import Result, layer_call
from jax_deepgemm.mega_moe_params import FP4
from jax_deepgemm.recipes import resolve_recipes


def fp8_fp4_mega_moe(
  x: Any,
  topk_idx: jax.Array,
  topk_weights: jax.Array,
  l1_weights: Any,
  l2_weights: Any,
  sym_buffer: SymmBuffer,
  *,
  num_tokens: jax.Array | int | None = None,
  cumulative_local_expert_recv_stats: jax.Array | None = None,
  recipe: Sequence[int] = (1, 1, 32),
  activation_clamp: float | None = None,
  fast_math: bool = True,
) -> Result:
  """Returns what `fp8_mega_moe` does, of weights in FP4.

  Weights are what `per_token_cast_to_fp4(w, use_ue8m0=True, gran_k=32,
  use_packed_ue8m0=True)` returns: two e2m1 codes in an int8, four UE8M0 scales
  of 32 codes each in an int32. Tokens and hidden values are FP8, 1 x 128.

  Gradients flow to a plain x and to topk_weights, as in `fp8_mega_moe` with
  quantised weights; the backward pass decodes the weights and quantises them
  again, 128 x 128 in FP8.

  Args:
    x: as in `fp8_mega_moe`.
    topk_idx: as in `fp8_mega_moe`.
    topk_weights: as in `fp8_mega_moe`.
    l1_weights: `[experts of a rank, 2 intermediate, hidden / 2]` int8, the rows
      of gate and then those of up; scales `[..., hidden / 128]` int32.
    l2_weights: `[experts of a rank, hidden, intermediate / 2]` int8; scales
      `[..., intermediate / 128]` int32.
    sym_buffer: made with mma_type "fp8xfp4".
    num_tokens: as in `fp8_mega_moe`.
    cumulative_local_expert_recv_stats: as in `fp8_mega_moe`.
    recipe: (1, 1, 32), whose last two numbers are what a scale of the weights
      covers; there are no others.
    activation_clamp: as in `fp8_mega_moe`.
    fast_math: as in `fp8_mega_moe`.

  Returns:
    y `[t, hidden]` bfloat16; with stats a pair, y and the new stats.

  Raises:
    TypeError: the form or dtype of an argument is wrong, or a gradient of
      quantised tokens is asked for.
    ValueError: a shape or recipe is wrong, or sym_buffer was destroyed, or is
      for another axis or other sizes.
    NotImplementedError: the recipe is another, or there is no kernel where
      options(implementation="kernel") asks for one.
  """
  if resolve_recipes(recipe, None, None) != (FP4_RECIPE, FP4_RECIPE):
    raise NotImplementedError(
      "recipe: expected (1, 1, 32), as fp8_fp4_mega_moe has no other, got"
      f" {recipe}; quantise weights with per_token_cast_to_fp4(w,"
      " use_ue8m0=True, gran_k=32, use_packed_ue8m0=True), or take fp8_mega_moe"
    )
  return layer_call(
    FP4,
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
