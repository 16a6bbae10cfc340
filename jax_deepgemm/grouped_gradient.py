"""The m-grouped GEMM with gradients: plain operands, straight through.

As in the dense GEMM the gradient is that of the unquantised product, computed
in fp8: dA = dY B with dY 1 x 128 along n and B 128 x 128, which is m-grouped
again; dB = dY^T A for each group, both 1 x 128 along its rows. bfloat16
products have bfloat16 gradients.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_deepgemm import main_gradient, residuals, straight_through
from jax_deepgemm.fp4_operands import scales_of_rows
from jax_deepgemm.gemm_operands import Operand, values_of
from jax_deepgemm.grouped_weight_gradient import (
  bf16_weight_gradient,
  fp8_weight_gradient,
  packed_by_group,
  rows_by_group,
)
from jax_deepgemm.k_grouped_packing import GroupRanges, group_ranges
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.grouped_layout import (
  Layout,
  group_of_rows,
  rows_of_groups,
)
from jax_deepgemm.primitives.m_grouped_gemm import (
  m_grouped_bf16_gemm,
  m_grouped_fp8_fp4_gemm,
  m_grouped_fp8_gemm,
)
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.recipes import Granularity
from jax_deepgemm.residuals import Policy
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.straight_through import PER_TOKEN


@dataclasses.dataclass(frozen=True)
class GroupedParams:
  """What an m-grouped GEMM is told besides its operands; hashable.

  Attributes:
    out_dtype: dtype of the result.
    recipe_a: (gran_m, gran_k) of a; None for a product in bfloat16.
    recipe_b: (gran_n, gran_k) of b; None likewise.
    layout: how the layout array is to be read.
    alignment: row multiple that groups start at; 1 if the layout has none.
    expected_m: rows that a group is expected to have; only a hint.
    zero_padding: rows past the end of a masked group are zero.
    options: in force at the call; the backward pass uses them too.
    b_mn_major: b is `[g, k, n]`; for products in bfloat16, and for plain b
      that is not `residuals` "mixed".
    b_is_fp4: b is FP4 with packed scales, 1 x 32.
    residuals: what is kept for the backward pass; not "mixed" needs the layout
      "ragged".
  """

  out_dtype: jnp.dtype
  recipe_a: Granularity | None
  recipe_b: Granularity | None
  layout: Layout
  alignment: int
  expected_m: int | None
  zero_padding: bool
  options: Options
  b_mn_major: bool = False
  b_is_fp4: bool = False
  residuals: Policy = "mixed"


def grouped_gemm(
  a: Operand,
  b: Operand,
  group_layout: jax.Array,
  params: GroupedParams,
  main_grad: jax.Array | None = None,
) -> jax.Array:
  """Returns a[i] @ b[g].T in row i of group g, with gradients to plain a and b.

  Args:
    a: `[m, k]`, or `[g, m, k]` if masked: with scales, or plain.
    b: `[g, n, k]`, or `[g, k, n]` if `params.b_mn_major`, likewise.
    group_layout: int32, see `grouped_layout.group_of_rows`.
    params: as above.
    main_grad: float32 of the shape of a plain b, or None; the gradient of b is
      added to it (main_gradient.py). For `residuals` that are not "mixed".

  Raises:
    TypeError: while differentiating: a quantised operand was to have a
      gradient.
    ValueError: while differentiating in b: main_grad is given, and is not
      differentiated.
  """
  a, b, group_layout = to_common_varying((a, b, group_layout))
  if isinstance(a, ScaledArray) and isinstance(b, ScaledArray):
    return _multiply(a, b, group_layout, params)
  gradients = _Gradients(
    straight_through.plain_dtype(a), straight_through.plain_dtype(b)
  )
  return _jitted_straight_through(
    params, gradients, a, b, group_layout, main_grad
  )


class _Gradients(NamedTuple):
  """dtypes of the gradients of a and b, None for quantised."""

  a: jnp.dtype | None
  b: jnp.dtype | None


class _Residuals(NamedTuple):
  """What is kept for the backward pass, and which gradients it shall make.

  Attributes:
    for_a: of b.
    for_b: of a.
    group_layout: as given.
    main_grad: as given.
    b_groups: as many elements as b has groups, or none if dB is not wanted.
    wants_da: see `residuals.wish`.
    loses_db: dB is wanted and has nowhere to go.
  """

  for_a: Operand
  for_b: Operand
  group_layout: jax.Array
  main_grad: jax.Array | None
  b_groups: jax.Array
  wants_da: jax.Array
  loses_db: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _straight_through(
  params: GroupedParams,
  gradients: _Gradients,
  a: Operand,
  b: Operand,
  group_layout: jax.Array,
  main_grad: jax.Array | None,
) -> jax.Array:
  del gradients, main_grad
  num_groups = values_of(b).shape[0]
  quantized_a, _ = _activation(a, group_layout, num_groups, params, False)
  quantized_b, _ = residuals.weight(b, params, is_wanted=False)
  return _multiply(quantized_a, quantized_b, group_layout, params)


def _forward(
  params: GroupedParams,
  gradients: _Gradients,
  a: Any,
  b: Any,
  layout: Any,
  main_grad: Any,
) -> tuple[jax.Array, _Residuals]:
  """Returns the result, and what the perturbed operands' gradients need."""
  del gradients
  a, wants_da = straight_through.primal("a", a)
  b, b_is_perturbed = straight_through.primal("b", b)
  main_grad, wants_db, is_lost = main_gradient.primal(main_grad, b_is_perturbed)
  layout = layout.value
  num_groups = values_of(b).shape[0]
  quantized_a, for_b = _activation(a, layout, num_groups, params, wants_db)
  quantized_b, for_a = residuals.weight(b, params, wants_da)
  result = _multiply(quantized_a, quantized_b, layout, params)
  wishes = map(residuals.wish, (wants_da, is_lost))
  groups = jnp.zeros(num_groups * wants_db, bool)
  return result, _Residuals(for_a, for_b, layout, main_grad, groups, *wishes)


def _activation(
  a: Operand,
  group_layout: jax.Array,
  num_groups: int,
  params: GroupedParams,
  is_wanted: bool,
) -> tuple[Operand, Operand]:
  """Returns a as the product reads it, and what is kept of it."""
  rows = _quantized_rows(a, group_layout, num_groups, params)
  if params.residuals == "mixed":
    return rows, straight_through.saved(a, rows, params.recipe_a)
  if params.residuals == "fp8" and is_wanted:
    packed = packed_by_group(a, group_layout, params.options)
    return rows, residuals.activation(packed, True)
  kept = a if params.residuals == "bf16" else rows
  return rows, residuals.activation(kept, is_wanted)


def _backward(
  params: GroupedParams,
  gradients: _Gradients,
  kept: _Residuals,
  dy: jax.Array,
) -> tuple[jax.Array | None, ...]:
  """Returns the cotangents of a, b, the layout (none) and main_grad."""
  main_gradient.check_not_lost(residuals.is_wanted(kept.loses_db))
  da = db = None
  if residuals.is_wanted(kept.wants_da):
    da = _gradient_of_a(dy, kept, params, gradients.a)
  if residuals.is_wanted(kept.b_groups):
    db = _gradient_of_b(dy, kept, params, gradients.b)
  if kept.main_grad is not None:
    return da, None, None, db
  return da, db, None, None


_straight_through.defvjp(_forward, _backward, symbolic_zeros=True)

# shard_map without jit around it takes no custom_vjp with symbolic zeros.
_jitted_straight_through = jax.jit(
  _straight_through, static_argnums=(0, 1), inline=True
)


def _gradient_of_a(
  dy: jax.Array, kept: _Residuals, params: GroupedParams, dtype: Any
) -> jax.Array:
  """Returns dy[i] @ b[g] in row i of group g, zero in rows of no group."""
  changed = dataclasses.replace(params, out_dtype=dtype, zero_padding=True)
  group_layout = kept.group_layout
  if params.recipe_b is None:
    # The kernel reads b either way, so that nothing is transposed.
    changed = dataclasses.replace(changed, b_mn_major=not params.b_mn_major)
    dy = _in_product_dtype(dy, params)
    return _multiply(dy, kept.for_a, group_layout, changed)
  recipe_dy = PER_TOKEN
  transposed, recipe = residuals.weight_of_gradient(kept.for_a, params)
  changed = dataclasses.replace(
    changed, recipe_a=recipe_dy, recipe_b=recipe, b_is_fp4=False
  )
  dy = straight_through.quantized(dy, recipe_dy, params.options)
  return _multiply(dy, transposed, group_layout, changed)


def _gradient_of_b(
  dy: jax.Array, kept: _Residuals, params: GroupedParams, dtype: Any
) -> jax.Array:
  """Returns the sum of dy[i].T a[i] over the rows i of each group."""
  sizes = kept.group_layout
  if params.residuals == "fp8":
    a = straight_through.as_codes(kept.for_b)
    rows = [dy, a]
  else:
    a = straight_through.restored(kept.for_b, params.recipe_a)
    rows = [_rows(_in_product_dtype(dy, params)), _rows(a)]
  num_groups = kept.b_groups.shape[0]
  has_gaps = params.layout in ("psum", "masked")
  reads_gaps = params.recipe_a is None and has_gaps
  if params.layout != "ragged" and not reads_gaps:
    groups = _group_of_row(a, sizes, num_groups, params)
    sizes, *rows = rows_by_group(groups, num_groups, *rows)
  if params.b_mn_major:
    rows.reverse()
  if params.recipe_a is not None:
    return fp8_weight_gradient(
      *rows, sizes, dtype, params.options, kept.main_grad
    )
  if reads_gaps:
    ranges = _group_ranges(sizes, num_groups, rows[0].shape[0], params)
  else:
    ranges = group_ranges(sizes, rows[0].shape[0], False)
  return bf16_weight_gradient(*rows, ranges, dtype, params.options)


def _group_ranges(
  group_layout: jax.Array, num_groups: int, num_rows: int, params: GroupedParams
) -> GroupRanges:
  """Returns where groups lie that are each in consecutive rows."""
  starts, ends = rows_of_groups(
    group_layout,
    layout=params.layout,
    alignment=params.alignment,
    num_groups=num_groups,
    num_rows=num_rows,
  )
  return GroupRanges(starts, ends - starts)


def _in_product_dtype(x: jax.Array, params: GroupedParams) -> jax.Array:
  return x if params.recipe_a is not None else x.astype(jnp.bfloat16)


def _quantized_rows(
  a: Operand, group_layout: jax.Array, num_groups: int, params: GroupedParams
) -> Operand:
  """Returns a with scales, or as it is if there are none."""
  shares_scales = params.recipe_a is not None and params.recipe_a[0] > 1
  if shares_scales and not isinstance(a, ScaledArray):
    # What a row of no group holds must not reach the scale of its neighbours.
    groups = _group_of_row(a, group_layout, num_groups, params)
    is_live = (groups >= 0).reshape(*a.shape[:-1], 1)
    a = jnp.where(is_live, a, jnp.zeros_like(a))
  return straight_through.quantized(a, params.recipe_a, params.options)


def _group_of_row(
  a: jax.Array,
  group_layout: jax.Array,
  num_groups: int,
  params: GroupedParams,
) -> jax.Array:
  """Returns `[m]`, or `[g * m]` if masked: the group of each row."""
  return group_of_rows(
    group_layout,
    layout=params.layout,
    alignment=params.alignment,
    num_groups=num_groups,
    num_rows=_rows(a).shape[0],
  )


def _rows(x: jax.Array) -> jax.Array:
  return x.reshape(-1, x.shape[-1])


def _multiply(
  a: Operand, b: Operand, group_layout: jax.Array, params: GroupedParams
) -> jax.Array:
  """Returns the product of operands that are as the primitives take them."""
  static = {
    name: getattr(params, name)
    for name in (
      "out_dtype",
      "layout",
      "alignment",
      "expected_m",
      "zero_padding",
      "options",
    )
  }
  if params.recipe_a is None:
    return m_grouped_bf16_gemm(
      a, b, group_layout, b_mn_major=params.b_mn_major, **static
    )
  if params.b_is_fp4:
    scales = scales_of_rows(a, params.recipe_a)
    return m_grouped_fp8_fp4_gemm(a.values, scales, *b, group_layout, **static)
  return m_grouped_fp8_gemm(
    *a,
    *b,
    group_layout,
    recipe_a=params.recipe_a,
    recipe_b=params.recipe_b,
    **static,
  )
