"""`mega_moe` with its gradients, in the steps of `moe_gradient`.

With rows r of the experts here, w their weights and W1, W2 their experts':

    h = x W1'             dA = dy W2            dW2 = dy' a
    a = swiglu(h) * w     dh = swiglu'(h, dA w)  dW1 = dh' x
    y = sum of a W2'      dx = sum of dh W1     dw = sum(dA * swiglu(h))

The forward pass keeps h alone of the rows; x and w travel again, beside dy. So
the backward pass is the same whatever computed the forward pass.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.custom_derivatives import SymbolicZero

from jax_deepgemm import mega_moe_weights, straight_through
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.mega_moe_exchange import dispatched, plan_of, returned
from jax_deepgemm.mega_moe_expert_gradient import (
  ArrivedRows,
  ExpertWeights,
  expert_gradients,
)
from jax_deepgemm.mega_moe_implementation import run
from jax_deepgemm.mega_moe_params import MegaMoeOperands, MegaMoeParams
from jax_deepgemm.moe_gradient import MOE_HIDDEN
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.quantize import cast_rows
from jax_deepgemm.scaled_array import ScaledArray


class _Dtypes(NamedTuple):
  """Those of the gradients, None for quantised operands."""

  x: jnp.dtype | None
  l1: jnp.dtype | None
  l2: jnp.dtype | None


class _Saved(NamedTuple):
  """What the backward pass reads; codes as bits."""

  x: Operand
  topk_idx: jax.Array
  topk_weights: jax.Array
  num_tokens: jax.Array | None
  l1: Operand
  l2: Operand
  hidden: jax.Array


def mega_moe(
  operands: MegaMoeOperands, params: MegaMoeParams
) -> tuple[jax.Array, jax.Array]:
  """Returns y `[t, hidden]` and rows of each expert, `[experts_per_rank]`.

  Args:
    operands: checked.
    params: of the layer.

  Raises:
    TypeError: while differentiating: a quantised operand was to have a
      gradient.
  """
  rank = jax.lax.axis_index(params.axis_name)
  operands, _ = to_common_varying((operands, rank))
  dtypes = _Dtypes(
    *map(straight_through.plain_dtype, (operands.x, operands.l1, operands.l2))
  )
  return _jitted(params, dtypes, operands)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _mega_moe(
  params: MegaMoeParams, dtypes: _Dtypes, operands: MegaMoeOperands
) -> tuple[jax.Array, jax.Array]:
  del dtypes
  l1 = mega_moe_weights.as_read(operands.l1, params)
  l2 = mega_moe_weights.as_read(operands.l2, params)
  x = _rows(operands.x, params)
  results = run(operands._replace(x=x, l1=l1, l2=l2), params)
  return results.y, results.group_sizes


def _forward(
  params: MegaMoeParams, dtypes: _Dtypes, operands: Any
) -> tuple[tuple[jax.Array, jax.Array], _Saved]:
  """Returns the results, and what the backward pass reads."""
  del dtypes
  plain = MegaMoeOperands(
    straight_through.primal("x", operands.x)[0],
    operands.topk_idx.value,
    operands.topk_weights.value,
    None if operands.num_tokens is None else operands.num_tokens.value,
    straight_through.primal("l1_weights", operands.l1)[0],
    straight_through.primal("l2_weights", operands.l2)[0],
  )
  l1, kept_l1 = mega_moe_weights.as_read_and_kept(plain.l1, params)
  l2, kept_l2 = mega_moe_weights.as_read_and_kept(plain.l2, params)
  read = plain._replace(x=_rows(plain.x, params), l1=l1, l2=l2)
  results = run(read, params)
  hidden = checkpoint_name(results.hidden, MOE_HIDDEN)
  kept_x = plain.x
  if isinstance(kept_x, ScaledArray):
    kept_x = straight_through.as_bits(kept_x)
  saved = _Saved(kept_x, *plain[1:4], kept_l1, kept_l2, hidden)
  return (results.y, results.group_sizes), saved


def _backward(
  params: MegaMoeParams, dtypes: _Dtypes, saved: _Saved, cotangents: Any
) -> tuple[MegaMoeOperands]:
  """Returns the cotangents of the operands; codes and indices have none."""
  dy, _ = cotangents
  if isinstance(dy, SymbolicZero):
    dy = jnp.zeros(dy.shape, dy.dtype)
  plan, sizes, _ = plan_of(saved.topk_idx, saved.num_tokens, params)
  rows, weights = dispatched(
    [*jax.tree.leaves(saved.x), dy], saved.topk_weights, plan
  )
  x = ScaledArray(*rows[:-1]) if len(rows) > 2 else rows[0]
  arrived = ArrivedRows(x, rows[-1], weights, saved.hidden, sizes)
  l1, l2 = (
    mega_moe_weights.of_gradient(
      kept, was_plain=dtype is not None, params=params
    )
    for kept, dtype in ((saved.l1, dtypes.l1), (saved.l2, dtypes.l2))
  )
  weights_of_experts = ExpertWeights(l1, l2, dtypes.l1, dtypes.l2)
  found = expert_gradients(
    arrived, weights_of_experts, params.expected_m(dy.shape[0]), params
  )
  dx, dweights = returned(found.x, found.weights, plan)
  if dtypes.x is None:
    dx = None
  return (MegaMoeOperands(dx, None, dweights, None, found.l1, found.l2),)


_mega_moe.defvjp(_forward, _backward, symbolic_zeros=True)

# shard_map without jit around it takes no custom_vjp with symbolic zeros.
_jitted = jax.jit(_mega_moe, static_argnums=(0, 1), inline=True)


def _rows(x: Operand, params: MegaMoeParams) -> Operand:
  """Returns tokens as they travel: with a row of scales each, or as given."""
  if not params.is_fp8 or isinstance(x, ScaledArray):
    return x
  return cast_rows(x, 128, False, params.options, for_gemm=False)
