"""`moe_mlp` in fp8, with its gradients.

    h = x W_gu           dA = dy W_d'         dW_d  = a' dy
    a = swiglu(h)        dh = swiglu'(h, dA)  dW_gu = x' dh
    y = a W_d            dx = dh W_gu'

Every product reads fp8 that a cast wrote: x, dy and dh in both orientations
from one reading, a and dh without having been in memory in another form.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from jax_deepgemm import main_gradient, residuals, straight_through
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.k_grouped_packing import GroupRanges, group_ranges
from jax_deepgemm.moe_arguments import MainGrads, MoeOperands
from jax_deepgemm.moe_weight_gradient import gate_up_gradient, weight_gradient
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.m_grouped_gemm import m_grouped_fp8_gemm
from jax_deepgemm.primitives.produced import Produced
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.quantize import cast_grouped, cast_rows, cast_rows_grouped
from jax_deepgemm.recipes import Granularity
from jax_deepgemm.residuals import Policy
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.straight_through import PER_BLOCK, PER_TOKEN

MOE_HIDDEN = "moe_hidden"


@dataclasses.dataclass(frozen=True)
class MoeParams:
  """What the layer is told besides its operands; hashable.

  Attributes:
    out_dtype: dtype of the result.
    residuals: what is kept for the backward pass.
    expected_m: rows that a group is expected to have; only a hint.
    options: in force at the call; the backward pass uses them too.
    recipe_b: granularity of the weights' scales.
    b_mn_major: weights lie `[g, k, n]`.
  """

  out_dtype: jnp.dtype
  residuals: Policy
  expected_m: int | None
  options: Options
  recipe_b: Granularity = PER_BLOCK
  b_mn_major: bool = True


class _Weights(NamedTuple):
  """The weights of a layer: gate and up side by side, `[g, d, 2 f]`."""

  gate_up: Any
  down: Any


class _Main(NamedTuple):
  """Main gradients: of gate and up together, of each, or of none."""

  gate_up: tuple[Any, ...]
  down: Any


class _Dtypes(NamedTuple):
  """Those of the gradients."""

  x: jnp.dtype
  gate_up: jnp.dtype
  down: jnp.dtype


class _Saved(NamedTuple):
  """What the backward pass reads; activation is None if made again.

  `loses` is a wish (residuals.py): a weight's gradient has nowhere to go.
  """

  x: jax.Array | ScaledArray
  hidden: jax.Array
  activation: ScaledArray | None
  weights: _Weights
  ranges: GroupRanges
  main: _Main
  loses: jax.Array


def mlp(
  operands: MoeOperands, main_grads: MainGrads | None, params: MoeParams
) -> jax.Array:
  """Returns the layer's result.

  Args:
    operands: checked.
    main_grads: of the weights, or None.
    params: as above.

  Raises:
    ValueError: while differentiating: a weight is, and its main gradient is
      not.
  """
  x, w_gate, w_up, w_down, sizes = to_common_varying(operands)
  if 0 in (*x.shape, *w_gate.shape, *w_down.shape):
    return jnp.zeros((x.shape[0], w_down.shape[2]), params.out_dtype)
  gate_up = w_gate
  if w_up is not None:
    gate_up = jnp.concatenate([w_gate, w_up], axis=-1)
  main = _Main((), None)
  if main_grads is not None:
    parts = (main_grads.w_gate, main_grads.w_up)
    main = _Main(tuple(p for p in parts if p is not None), main_grads.w_down)
  dtypes = _Dtypes(x.dtype, gate_up.dtype, w_down.dtype)
  return _jitted_mlp(params, dtypes, x, _Weights(gate_up, w_down), sizes, main)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _mlp(
  params: MoeParams,
  dtypes: _Dtypes,
  x: jax.Array,
  weights: _Weights,
  sizes: jax.Array,
  main: _Main,
) -> jax.Array:
  del dtypes, main
  gate_up, _ = residuals.weight(weights.gate_up, params, is_wanted=False)
  down, _ = residuals.weight(weights.down, params, is_wanted=False)
  rows = cast_rows(x, 128, False, params.options)
  hidden = _product(rows, gate_up, sizes, x.dtype, params)
  rows = cast_rows(_swiglu(hidden), 128, False, params.options)
  return _product(rows, down, sizes, params.out_dtype, params)


def _forward(
  params: MoeParams,
  dtypes: _Dtypes,
  x: Any,
  weights: _Weights,
  sizes: Any,
  main: _Main,
) -> tuple[jax.Array, _Saved]:
  """Returns the result, and what the backward pass reads."""
  del dtypes
  x, _ = straight_through.primal("x", x)
  plain, main, loses = _without_marks(weights, main)
  ranges = group_ranges(sizes.value, x.shape[0], False)
  gate_up, saved_gate_up = residuals.weight(
    plain.gate_up, params, is_wanted=True
  )
  down, saved_down = residuals.weight(plain.down, params, is_wanted=True)

  rows, columns_of_x = _cast(x, ranges, params)
  hidden = _product(rows, gate_up, ranges.sizes, x.dtype, params)
  hidden = checkpoint_name(hidden, MOE_HIDDEN)
  rows, columns = _cast(_swiglu(hidden), ranges, params)
  result = _product(rows, down, ranges.sizes, params.out_dtype, params)

  kept_x = residuals.activation(
    x if columns_of_x is None else columns_of_x, is_wanted=True
  )
  kept = (
    None if columns is None else residuals.activation(columns, is_wanted=True)
  )
  saved_weights = _Weights(saved_gate_up, saved_down)
  return result, _Saved(
    kept_x, hidden, kept, saved_weights, ranges, main, loses
  )


def _without_marks(
  weights: _Weights, main: _Main
) -> tuple[_Weights, _Main, jax.Array]:
  """Returns the weights and main gradients that a rule gets, and if one lost.

  That is a wish: the gradient of a weight that is added to nothing.
  """
  gate_up, is_perturbed = straight_through.primal("w_gate", weights.gate_up)
  gates = [main_gradient.primal(w, is_perturbed) for w in main.gate_up]
  down, is_perturbed = straight_through.primal("w_down", weights.down)
  main_down, _, down_is_lost = main_gradient.primal(main.down, is_perturbed)
  is_lost = down_is_lost or any(lost for _, _, lost in gates)
  main = _Main(tuple(value for value, _, _ in gates), main_down)
  return _Weights(gate_up, down), main, residuals.wish(is_lost)


def _backward(
  params: MoeParams, dtypes: _Dtypes, saved: _Saved, dy: jax.Array
) -> tuple[Any, ...]:
  """Returns the cotangents of x, weights, sizes (none) and main gradients."""
  main_gradient.check_not_lost(residuals.is_wanted(saved.loses))
  options, ranges, main = params.options, saved.ranges, saved.main
  weight, _ = residuals.weight_of_gradient(saved.weights.down, params)
  rows, columns = cast_rows_grouped(dy, ranges.sizes, False, options)
  da = _product(rows, weight, ranges.sizes, dtypes.x, params)
  activation = saved.activation
  if activation is None:
    activation = _swiglu(saved.hidden)
  factors = _columns(activation, ranges, options), columns
  down = weight_gradient(*factors, ranges, main.down, dtypes.down, options)

  dh = Produced(CastSource.SWIGLU_GRADIENT, (saved.hidden, da))
  weight, _ = residuals.weight_of_gradient(saved.weights.gate_up, params)
  rows, columns = cast_rows_grouped(dh, ranges.sizes, False, options)
  dx = _product(rows, weight, ranges.sizes, dtypes.x, params)
  factors = _columns(saved.x, ranges, options), columns
  gate_up = gate_up_gradient(
    *factors, ranges, main.gate_up, dtypes.gate_up, options
  )
  if main.down is None:
    return dx, _Weights(gate_up, down), None, _Main((), None)
  return dx, None, None, _Main(gate_up, down)


_mlp.defvjp(_forward, _backward, symbolic_zeros=True)

# shard_map without jit around it takes no custom_vjp with symbolic zeros.
_jitted_mlp = jax.jit(_mlp, static_argnums=(0, 1), inline=True)


def _swiglu(hidden: jax.Array) -> Produced:
  return Produced(CastSource.SWIGLU, (hidden,))


def _cast(
  x: jax.Array | Produced, ranges: GroupRanges, params: MoeParams
) -> tuple[ScaledArray, ScaledArray | None]:
  """Returns x as the product reads it, and columns if they are to be kept."""
  if params.residuals == "fp8":
    return cast_rows_grouped(x, ranges.sizes, False, params.options)
  return cast_rows(x, 128, False, params.options), None


def _columns(
  kept: jax.Array | Produced | ScaledArray,
  ranges: GroupRanges,
  options: Options,
) -> ScaledArray:
  """Returns what was kept, or made again, as gradients of weights read it."""
  if isinstance(kept, ScaledArray):
    return straight_through.as_codes(kept)
  return cast_grouped(kept, ranges.sizes, False, options)


def _product(
  rows: ScaledArray,
  weight: ScaledArray,
  sizes: jax.Array,
  dtype: Any,
  params: MoeParams,
) -> jax.Array:
  """Returns rows[i] @ weight[g].T in row i of group g, else zero."""
  return m_grouped_fp8_gemm(
    *rows,
    *weight,
    sizes,
    recipe_a=PER_TOKEN,
    recipe_b=PER_BLOCK,
    out_dtype=dtype,
    layout="ragged",
    alignment=1,
    expected_m=params.expected_m,
    zero_padding=False,
    options=params.options,
  )
