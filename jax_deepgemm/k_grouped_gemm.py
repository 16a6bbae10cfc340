"""K-grouped GEMMs: one product for each group of tokens, float32 sums.

The gradient of a mixture of experts' weights: K counts tokens, and those of one
expert are a group. What holds for all four functions is written at
`k_grouped_fp8_gemm_tn_contiguous`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.array_checks import check_dtype
from jax_deepgemm.explicit_sharding import explicit_mesh
from jax_deepgemm.k_grouped_operands import (
  KGroupedOperand,
  checked_fp8_operand,
  checked_plain_operand,
)
from jax_deepgemm.k_grouped_packing import (
  GroupRanges,
  group_ranges,
  pack_flat_values,
  pack_quantized,
  pack_scales,
  pack_values,
  packed_sources,
)
from jax_deepgemm.options import Options, current
from jax_deepgemm.primitives.cast import cast
from jax_deepgemm.primitives.cast_form import CastForm
from jax_deepgemm.primitives.k_grouped_gemm import (
  k_grouped_bf16_gemm,
  k_grouped_fp8_gemm,
)
from jax_deepgemm.scaled_array import ScaledArray

_RECIPE = (1, 1, 128)


def k_grouped_fp8_gemm_tn_contiguous(
  a: Any,
  b: Any,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  recipe: Sequence[int] = _RECIPE,
  use_psum_layout: bool = False,
) -> jax.Array:
  """Returns `c[g] + dequantize(a_g).T @ dequantize(b_g)` for every group g.

  Group g is k_g consecutive rows of a and of b. Sizes are read by the device,
  so they may be computed in the same program. Any size is allowed, 0 as well:
  the result is then c[g], or zeros. Rows that are in no group may hold
  anything, NaN too. Sizes that exceed the arrays are cut, negative ones are 0.

  Scales are per column and 128 rows of a group: ceil(k_g / 128) rows of scales
  for group g, those of all groups one after the other. A plain bfloat16 or
  float32 array is quantised here, group by group. Gradients flow to c alone.

  The Hopper kernel reads K-major copies of a and b in which every group begins
  at a multiple of 128; making them is part of this call. The result is the
  same bit by bit in every run. c's memory becomes the result's if c is donated.
  Up to 1024 groups. `vmap` computes one product after the other. Under
  `shard_map` it computes the shard; XLA does not partition it otherwise.

  Args:
    a: `[sum_k, m]`; scales `[sum_g ceil(k_g / 128), m]` float32. More rows of
      either are not read; blocks whose scales are missing count as zero.
    b: `[sum_k, n]`; scales `[sum_g ceil(k_g / 128), n]`.
    group_sizes: `[g]` integers: k_g, or with use_psum_layout the end of group
      g, which starts at the first multiple of 128 from the end before on.
    c: `[g, m, n]` float32, or None.
    recipe: (gran_m, gran_n, gran_k) of the scales: (1, 1, 128).
    use_psum_layout: group_sizes holds ends.

  Returns:
    `[g, m, n]` float32.

  Raises:
    TypeError: the form or dtype of an argument is wrong, or a gradient of a or
      b is asked for.
    ValueError: a rank, shape or recipe is wrong.
    NotImplementedError: an operand is sharded over explicit mesh axes;
      options(implementation="kernel") and the GPU is not Hopper; or there are
      more than 1024 groups on Hopper.
  """
  return _fp8_gemm(a, b, group_sizes, c, recipe, use_psum_layout, k_axis=0)


def k_grouped_fp8_gemm_nt_contiguous(
  a: Any,
  b: Any,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  recipe: Sequence[int] = _RECIPE,
  use_psum_layout: bool = False,
) -> jax.Array:
  """Returns `c[g] + dequantize(a_g) @ dequantize(b_g).T` for every group g.

  As `k_grouped_fp8_gemm_tn_contiguous`, with K as the last dimension. Quantised
  values may also be flat, as DeepGEMM has them on Hopper: the matrices
  `[m, k_g]` one after the other.

  Args:
    a: `[m, sum_k]`, or values `[m * sum_k]`; scales
      `[m, sum_g ceil(k_g / 128)]` float32.
    b: `[n, sum_k]`, or values `[n * sum_k]`; scales
      `[n, sum_g ceil(k_g / 128)]`.
    group_sizes: as there.
    c: `[g, m, n]` float32, or None.
    recipe: as there.
    use_psum_layout: as there; not with flat values.
  """
  return _fp8_gemm(a, b, group_sizes, c, recipe, use_psum_layout, k_axis=1)


def k_grouped_bf16_gemm_tn_contiguous(
  a: jax.Array,
  b: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  use_psum_layout: bool = False,
) -> jax.Array:
  """Returns `c[g] + a_g.T @ b_g` in float32 for every group g.

  Groups, gradients and transformations are those of
  `k_grouped_fp8_gemm_tn_contiguous`. The Hopper kernel reads a and b as they
  are, whatever row a group begins at. Where m or n is no multiple of 8, it
  reads a copy of a or b with padded rows. Elsewhere it runs as XLA's ragged
  dot.

  Args:
    a: `[sum_k, m]` bfloat16.
    b: `[sum_k, n]` bfloat16.
    group_sizes: as in `k_grouped_fp8_gemm_tn_contiguous`.
    c: `[g, m, n]` float32, or None. Its memory becomes the result's if it is
      donated.
    use_psum_layout: as there.

  Returns:
    `[g, m, n]` float32.

  Raises:
    TypeError: a dtype is wrong, or a gradient of a or b is asked for.
    ValueError: a shape is wrong.
    NotImplementedError: an operand is sharded over explicit mesh axes;
      options(implementation="kernel") and the GPU is not Hopper; or there are
      more than 1024 groups on Hopper.
  """
  return _bf16_gemm(a, b, group_sizes, c, use_psum_layout, k_axis=0)


def k_grouped_bf16_gemm_nt_contiguous(
  a: jax.Array,
  b: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  use_psum_layout: bool = False,
) -> jax.Array:
  """Returns `c[g] + a_g @ b_g.T` in float32 for every group g.

  As `k_grouped_bf16_gemm_tn_contiguous`, with K as the last dimension, where
  TMA takes no group from any column on: the kernel reads transposed copies of a
  and b, which are part of this call.

  Args:
    a: `[m, sum_k]` bfloat16.
    b: `[n, sum_k]` bfloat16.
    group_sizes: as there.
    c: `[g, m, n]` float32, or None.
    use_psum_layout: as there.
  """
  return _bf16_gemm(a, b, group_sizes, c, use_psum_layout, k_axis=1)


def _fp8_gemm(
  a: Any,
  b: Any,
  group_sizes: Any,
  c: Any,
  recipe: Sequence[int],
  use_psum_layout: bool,
  k_axis: int,
) -> jax.Array:
  """Checks, brings the operands to the kernel's layout and multiplies."""
  if tuple(recipe) != _RECIPE:
    raise ValueError(f"recipe must be {_RECIPE}, got {recipe}")
  a = checked_fp8_operand("a", a, "m", k_axis)
  b = checked_fp8_operand("b", b, "n", k_axis)
  if use_psum_layout and None in (a.k_axis, b.k_axis):
    raise ValueError(
      "use_psum_layout needs matrices: flat values have no gaps between groups"
    )
  ranges, c = _checked_groups(a, b, group_sizes, c, use_psum_layout)
  if 0 in (ranges.sizes.size, a.rows, b.rows, a.sum_k):
    return _of_nothing(ranges, a, b, c)
  packed = [
    part
    for operand in (a, b)
    for part in _packed(operand, ranges, has_gaps=use_psum_layout)
  ]
  return k_grouped_fp8_gemm(*packed, ranges.sizes, c, options=current())


def fp8_product(
  a: jax.Array | ScaledArray,
  b: jax.Array | ScaledArray,
  ranges: GroupRanges,
  c: jax.Array | None,
  dtype: jax.typing.DTypeLike,
  options: Options,
) -> jax.Array:
  """Returns c_g + a_g.T @ b_g, quantised, for groups without gaps.

  Args:
    a: plain `[sum_k, m]`, or what `cast_groups` made of it.
    b: plain `[sum_k, n]`, likewise.
    ranges: of the groups.
    c: `[g, m, n]` float32, or None.
    dtype: of the result; sums are float32.
    options: of the call.
  """
  packed = [
    part
    for x in (a, b)
    for part in (
      x if isinstance(x, ScaledArray) else cast_groups(x, ranges, options)
    )
  ]
  return k_grouped_fp8_gemm(
    *packed, ranges.sizes, c, out_dtype=dtype, options=options
  )


def cast_groups(
  x: jax.Array, ranges: GroupRanges, options: Options
) -> ScaledArray:
  """Returns what `k_grouped_cast_to_fp8` does, for groups without gaps."""
  # Casts and product must agree where groups begin, whatever the sizes say.
  form = CastForm("grouped")
  num_groups = ranges.sizes.shape[0]
  if 0 in (*x.shape, num_groups):
    shapes = form.shapes(x.shape, num_groups)
    return ScaledArray(*map(jnp.zeros, shapes, form.dtypes(len(shapes))))
  return ScaledArray(*cast(x, ranges.sizes, form=form, options=options))


def _bf16_gemm(
  a: Any, b: Any, group_sizes: Any, c: Any, use_psum_layout: bool, k_axis: int
) -> jax.Array:
  a = checked_plain_operand("a", a, "m", k_axis, ("bfloat16",))
  b = checked_plain_operand("b", b, "n", k_axis, ("bfloat16",))
  ranges, c = _checked_groups(a, b, group_sizes, c, use_psum_layout)
  if 0 in (ranges.sizes.size, a.rows, b.rows, a.sum_k):
    return _of_nothing(ranges, a, b, c)
  rows = [x.values.T if k_axis == 1 else x.values for x in (a, b)]
  return k_grouped_bf16_gemm(*rows, *ranges, c, options=current())


def _packed(
  operand: KGroupedOperand, ranges: GroupRanges, *, has_gaps: bool
) -> ScaledArray:
  """Returns the operand as the kernel reads it."""
  sum_k = operand.sum_k
  if operand.scales is None and not has_gaps:
    x = operand.values if operand.k_axis == 0 else operand.values.T
    return cast_groups(x, ranges, current())
  sources = packed_sources(ranges, sum_k)
  if operand.scales is None:
    return pack_quantized(operand.values, sources, operand.k_axis)
  if operand.k_axis is None:
    values = pack_flat_values(operand.values, operand.rows, ranges, sum_k)
  else:
    values = pack_values(operand.values, sources, operand.k_axis)
  return ScaledArray(values, pack_scales(operand.scales, ranges, sum_k))


def _checked_groups(
  a: KGroupedOperand,
  b: KGroupedOperand,
  group_sizes: Any,
  c: Any,
  use_psum_layout: bool,
) -> tuple[GroupRanges, jax.Array | None]:
  """Returns where the groups lie, and c."""
  if a.sum_k != b.sum_k:
    raise ValueError(
      f"a and b must have the same sum_k, got {a.sum_k} and {b.sum_k}"
    )
  check_dtype("group_sizes", group_sizes, jnp.int32, jnp.int64)
  if group_sizes.ndim != 1:
    raise ValueError(
      f"group_sizes must have shape [g], got {group_sizes.shape}"
    )
  shape = (group_sizes.shape[0], a.rows, b.rows)
  if c is not None:
    if not isinstance(c, (jax.Array, np.ndarray)) or c.dtype != jnp.float32:
      found = getattr(c, "dtype", type(c).__name__)
      raise TypeError(f"c must be a float32 array or None, got {found}")
    if c.shape != shape:
      raise ValueError(f"c must have shape [g, m, n] = {shape}, got {c.shape}")
    c = jnp.asarray(c)
  _refuse_explicit_sharding(a.values, b.values, group_sizes, c)
  sizes = jnp.asarray(group_sizes)
  return group_ranges(sizes, a.sum_k, use_psum_layout), c


def _refuse_explicit_sharding(*arrays: Any) -> None:
  given = [jnp.asarray(x) for x in arrays if x is not None]
  if explicit_mesh(*given) is None:
    return
  if any(any(jax.typeof(x).sharding.spec) for x in given):
    raise NotImplementedError(
      "K-grouped GEMMs take no operands that are sharded over explicit mesh"
      " axes; use jax.shard_map"
    )


def _of_nothing(
  ranges: GroupRanges, a: KGroupedOperand, b: KGroupedOperand, c: Any
) -> jax.Array:
  shape = (ranges.sizes.shape[0], a.rows, b.rows)
  return jnp.zeros(shape, jnp.float32) if c is None else c
