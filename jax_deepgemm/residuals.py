"""What a differentiable product keeps for its backward pass.

| policy | x `[..., k]` | w |
|---|---|---|
| "mixed" | as given | in fp8 if its scales are those of square blocks |
| "fp8" | in fp8, transposed, 1 x 128 along rows | in fp8, as dX reads it |
| "bf16" | as given | as given |

What "fp8" and "bf16" keep has a name (`jax.ad_checkpoint.checkpoint_name`), by
which a policy of `jax.checkpoint` chooses what is kept and what is made again;
except for a weight as given, which is there anyway, and which a scan over
layers would copy for its name.

JAX traces a forward rule once for each set of operands that are differentiated,
but remembers one structure of what it keeps, and which of it are arguments. So
both are the same for every set: what is not wanted is an empty array, and an
argument is kept always or never.
"""

from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from jax_deepgemm import straight_through
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.options import Options
from jax_deepgemm.quantize import cast_blocks, cast_blocks_both
from jax_deepgemm.recipes import Granularity
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.straight_through import PER_BLOCK

Policy = Literal["mixed", "fp8", "bf16"]
PUBLIC_POLICIES = ("fp8", "bf16")

FP8_ACTIVATION = "fp8_activation"
FP8_WEIGHT = "fp8_weight"


class _Params(Protocol):
  """What is read of a GEMM's parameters.

  Attributes:
    recipe_b: granularity of the weight's scales, None for no scales.
    b_mn_major: the weight lies `[..., k, n]`.
    residuals: the policy.
    options: of the call.
  """

  recipe_b: Granularity | None
  b_mn_major: bool
  residuals: Policy
  options: Options


def checked_policy(residuals: Any) -> Policy:
  """Returns the policy; raises ValueError unless it is a public one."""
  if residuals not in PUBLIC_POLICIES:
    raise ValueError(
      f"residuals must be one of {', '.join(PUBLIC_POLICIES)}, got"
      f" {residuals!r}"
    )
  return residuals


def wish(is_wanted: bool) -> jax.Array:
  """Returns an array that tells the backward pass by its shape."""
  return jnp.zeros(int(is_wanted), bool)


def is_wanted(wish: jax.Array) -> bool:
  """Returns what `wish` was given."""
  return wish.shape[0] > 0


def activation(kept: Operand, is_wanted: bool) -> Operand:
  """Returns what is kept of x, named; fp8 values as bits."""
  return _named(kept, FP8_ACTIVATION, is_wanted)


def weight(
  b: Operand, params: _Params, is_wanted: bool
) -> tuple[Operand, Operand]:
  """Returns w as the product reads it, and what is kept.

  Args:
    b: the weight, `[..., n, k]`, or plain `[..., k, n]` if b_mn_major.
    params: of the product.
    is_wanted: the gradient in x is wanted.
  """
  if params.residuals == "mixed":
    quantized = straight_through.quantized(b, params.recipe_b, params.options)
    return quantized, straight_through.saved(b, quantized, params.recipe_b)
  if params.residuals == "bf16":
    return _oriented(b, params.b_mn_major, params.options), b
  if not is_wanted:
    forward = _oriented(b, params.b_mn_major, params.options)
    return forward, _named(forward, FP8_WEIGHT, False)
  forward, backward = _both_orientations(b, params.options)
  if params.b_mn_major:
    forward, backward = backward, forward
  return forward, _named(backward, FP8_WEIGHT, True)


def weight_of_gradient(
  kept: Operand, params: _Params
) -> tuple[Operand, Granularity | None]:
  """Returns w `[..., k, n]`, quantised, of what was kept, and its granularity.

  Args:
    kept: from `weight`.
    params: of the product.
  """
  if params.residuals == "mixed":
    return straight_through.transposed(
      kept, params.recipe_b, PER_BLOCK, params.options
    )
  if isinstance(kept, ScaledArray):
    return straight_through.as_codes(kept), PER_BLOCK
  return _oriented(kept, not params.b_mn_major, params.options), PER_BLOCK


def _both_orientations(
  w: jax.Array, options: Options
) -> tuple[ScaledArray, ScaledArray]:
  values, scales, transposed = cast_blocks_both(w, False, options)
  return ScaledArray(values, scales), ScaledArray(transposed, scales.mT)


def _oriented(
  w: jax.Array, is_transposed: bool, options: Options
) -> ScaledArray:
  """Returns w in 128 x 128 blocks, or its transpose."""
  if is_transposed:
    return _both_orientations(w, options)[1]
  return cast_blocks(w, 128, False, options)


def _named(kept: Operand, name: str, is_wanted: bool) -> Operand:
  if isinstance(kept, ScaledArray):
    kept = straight_through.as_bits(kept)
  if not is_wanted:
    return jax.tree.map(lambda x: jnp.zeros(0, x.dtype), kept)
  return jax.tree.map(lambda x: checkpoint_name(x, name), kept)
