"""m-grouped GEMMs from the arguments of public functions to the product."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.explicit_sharding import explicit_mesh
from jax_deepgemm.fp4_operands import (
  canonical,
  common_k,
  decoded,
  default_recipe,
  is_fp4_pair,
  is_packed_fp4,
  multipliable,
)
from jax_deepgemm.gemm_operands import Operand, canonical_operand, values_of
from jax_deepgemm.grouped_gradient import GroupedParams, grouped_gemm
from jax_deepgemm.grouped_operands import (
  bf16_operand,
  checked_expected_m,
  checked_flag,
  checked_group_layout,
  checked_out_dtype,
)
from jax_deepgemm.grouped_sharding import grouped_gemm_over_mesh
from jax_deepgemm.options import current
from jax_deepgemm.primitives.grouped_layout import Layout
from jax_deepgemm.recipes import Granularity, resolve_recipes


def fp8_product(
  layout: Layout,
  a: Any,
  b: Any,
  group_layout: Any,
  *,
  transposed_b: bool = False,
  recipe: Sequence[int] | None,
  recipe_a: Sequence[int] | None,
  recipe_b: Sequence[int] | None,
  **settings: Any,
) -> jax.Array:
  """Returns the checked fp8 product; `settings` are those of `_product`."""
  recipe_a, recipe_b = resolve_recipes(recipe, recipe_a, recipe_b)
  masked = layout == "masked"
  a = canonical_operand(
    "a", a, rows="m", transposed=False, recipe=recipe_a, grouped=masked
  )
  b = canonical_operand(
    "b", b, rows="n", transposed=transposed_b, recipe=recipe_b, grouped=True
  )
  return _product(layout, a, b, group_layout, recipe_a, recipe_b, **settings)


def fp8_fp4_product(
  layout: Layout,
  a: Any,
  b: Any,
  group_layout: Any,
  *,
  transposed_b: bool = False,
  recipe: Sequence[int] | None,
  recipe_a: Sequence[int] | None,
  recipe_b: Sequence[int] | None,
  **settings: Any,
) -> jax.Array:
  """Returns the checked product of fp8 with FP4, or of fp8 without FP4."""
  has_fp4 = is_fp4_pair("a", a) or is_fp4_pair("b", b)
  if has_fp4 and recipe is None and recipe_a is None and recipe_b is None:
    recipe_a, recipe_b = default_recipe("a", a), default_recipe("b", b)
  recipe_a, recipe_b = resolve_recipes(recipe, recipe_a, recipe_b)
  masked = layout == "masked"
  a, ks_of_a = canonical("a", a, "m", False, recipe_a, grouped=masked)
  b, ks_of_b = canonical("b", b, "n", transposed_b, recipe_b, grouped=True)
  k = common_k(ks_of_a, ks_of_b)
  if is_packed_fp4(a):
    a = decoded(a, k)
  a, b = multipliable(a, b, k, recipe_a, recipe_b)
  return _product(
    layout,
    a,
    b,
    group_layout,
    recipe_a,
    recipe_b,
    b_is_fp4=is_packed_fp4(b),
    **settings,
  )


def bf16_product(
  layout: Layout,
  a: Any,
  b: Any,
  group_layout: Any,
  *,
  transposed_b: bool = False,
  **settings: Any,
) -> jax.Array:
  """Returns the checked bf16 product; `settings` are those of `_product`."""
  a = bf16_operand("a", a, "[g, m, k]" if layout == "masked" else "[m, k]")
  b = bf16_operand("b", b, "[g, k, n]" if transposed_b else "[g, n, k]")
  return _product(
    layout, a, b, group_layout, None, None, b_mn_major=transposed_b, **settings
  )


def _product(
  layout: Layout,
  a: Operand,
  b: Operand,
  group_layout: Any,
  recipe_a: Granularity | None,
  recipe_b: Granularity | None,
  *,
  out_dtype: jax.typing.DTypeLike | None,
  expected_m: int | None,
  zero_padding: bool = False,
  b_mn_major: bool = False,
  b_is_fp4: bool = False,
) -> jax.Array:
  """Returns the product of operands as the primitives take them."""
  *groups_of_a, m, k = values_of(a).shape
  num_groups, n, k_of_b = values_of(b).shape
  if b_mn_major:
    n, k_of_b = k_of_b, n
  if b_is_fp4:
    k_of_b *= 2
  if k != k_of_b:
    raise ValueError(f"a and b must have the same k, got {k} and {k_of_b}")
  if groups_of_a and groups_of_a[0] != num_groups:
    raise ValueError(
      "a and b must have the same number of groups, got"
      f" {groups_of_a[0]} and {num_groups}"
    )
  length = m if layout == "index" else num_groups
  group_layout = checked_group_layout(layout, group_layout, length)
  options = current()
  params = GroupedParams(
    out_dtype=checked_out_dtype(out_dtype),
    recipe_a=recipe_a,
    recipe_b=recipe_b,
    layout=layout,
    alignment=options.mk_alignment if layout in ("index", "psum") else 1,
    expected_m=checked_expected_m(expected_m),
    zero_padding=checked_flag("zero_padding", zero_padding),
    options=options,
    b_mn_major=b_mn_major,
    b_is_fp4=b_is_fp4,
  )
  if 0 in (m, n, k, num_groups):
    return jnp.zeros((*groups_of_a, m, n), params.out_dtype)
  mesh = explicit_mesh(a, b, group_layout)
  if mesh is not None:
    return grouped_gemm_over_mesh(mesh, a, b, group_layout, params)
  return grouped_gemm(a, b, group_layout, params)
