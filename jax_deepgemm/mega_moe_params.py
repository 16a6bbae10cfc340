"""What `mega_moe` functions are told besides their arrays."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.expert_plan import AxisName
from jax_deepgemm.fp4_operands import FP4_RECIPE
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.options import Options
from jax_deepgemm.recipes import Granularity
from jax_deepgemm.residuals import Policy
from jax_deepgemm.straight_through import PER_BLOCK

FP8 = "fp8xfp8"
FP4 = "fp8xfp4"
BF16 = "bf16xbf16"


class MegaMoeOperands(NamedTuple):
  """The arrays of a layer, checked.

  Attributes:
    x: `[t, hidden]`, the tokens of this rank: bfloat16, or codes and scales.
    topk_idx: int32 `[t, top_k]`; what is no expert's number is no choice.
    topk_weights: float32 `[t, top_k]`.
    num_tokens: int32 `[1]`, how many tokens count, or None for all.
    l1: `[experts_per_rank, 2 intermediate, hidden]`, gate above up: plain, or
      codes and scales; FP4 has half as many columns of two codes each.
    l2: `[experts_per_rank, hidden, intermediate]`, likewise.
  """

  x: Operand
  topk_idx: jax.Array
  topk_weights: jax.Array
  num_tokens: jax.Array | None
  l1: Operand
  l2: Operand


@dataclasses.dataclass(frozen=True)
class MegaMoeParams:
  """Hashable.

  Attributes:
    arena: sizes of the layer and of the buffer's memory.
    axis_name: mesh axes that the experts are split over.
    handle: of the buffer's memory.
    clamp: bound of gate and up, infinite for none.
    fast_math: the sigmoid may be approximated.
    options: in force at the call; the backward pass uses them too.
    residuals: what is kept of plain weights for the backward pass.
  """

  arena: MegaMoeArena
  axis_name: AxisName
  handle: int
  clamp: float
  fast_math: bool
  options: Options
  residuals: Policy = "fp8"

  @property
  def is_fp8(self) -> bool:
    """Whether rows are in FP8, else all is bfloat16."""
    return self.arena.has_scales

  @property
  def clamp_array(self) -> jax.Array:
    """The clamp as casts take it."""
    return jnp.asarray(self.clamp, jnp.float32)

  def expected_m(self, num_tokens: int) -> int:
    """Returns rows of an expert if all are chosen alike."""
    choices = self.arena.num_ranks * num_tokens * self.arena.top_k
    return max(1, ceil_div(choices, self.arena.num_experts))

  # What residuals.py reads of a product's parameters.

  @property
  def recipe_b(self) -> Granularity:
    """Granularity of the weights' scales."""
    return FP4_RECIPE if self.arena.mma_type == FP4 else PER_BLOCK

  @property
  def b_mn_major(self) -> bool:
    """Weights lie `[g, n, k]`."""
    return False
