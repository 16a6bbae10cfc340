"""The m-grouped GEMMs as primitives."""

from typing import TypedDict, Unpack

import jax
from jax.extend.core import Primitive

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  m_grouped_reference,
  m_grouped_rules,
  sm90_m_grouped_bf16_gemm,
  sm90_m_grouped_fp8_fp4_gemm,
  sm90_m_grouped_fp8_gemm,
)
from jax_deepgemm.primitives.grouped_layout import Layout

m_grouped_fp8_gemm_p = Primitive("m_grouped_fp8_gemm")
m_grouped_fp8_fp4_gemm_p = Primitive("m_grouped_fp8_fp4_gemm")
m_grouped_bf16_gemm_p = Primitive("m_grouped_bf16_gemm")


class MGroupedParams(TypedDict):
  """What every m-grouped GEMM is told besides its operands.

  Attributes:
    out_dtype: bfloat16 or float32.
    layout: how `group_layout` is to be read.
    alignment: row multiple that groups start at; 1 if the layout has none.
    expected_m: rows that a group is expected to have; only a hint.
    zero_padding: rows past the end of a masked group are zero, not undefined.
    options: in force when the public function was called.
  """

  out_dtype: jax.typing.DTypeLike
  layout: Layout
  alignment: int
  expected_m: int | None
  zero_padding: bool
  options: Options


def m_grouped_fp8_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_layout: jax.Array,
  *,
  recipe_a: tuple[int, int],
  recipe_b: tuple[int, int],
  **params: Unpack[MGroupedParams],
) -> jax.Array:
  """Returns (a * sfa)[i] @ (b * sfb)[g].T in row i of group g, else zero.

  Args:
    a: `[m, k]`, or `[g, m, k]` if masked, float8_e4m3fn.
    sfa: `[(g,) ceil(m / gran_m), ceil(k / gran_k)]` float32.
    b: `[g, n, k]` float8_e4m3fn.
    sfb: `[g, ceil(n / gran_n), ceil(k / gran_k)]` float32.
    group_layout: int32, see `grouped_layout.group_of_rows`.
    recipe_a: (gran_m, gran_k) of `sfa`.
    recipe_b: (gran_n, gran_k) of `sfb`.
    **params: see `MGroupedParams`.

  Returns:
    `[m, n]` or `[g, m, n]` in `out_dtype`; any size may be zero.
  """
  return m_grouped_rules.bind(
    m_grouped_fp8_gemm_p,
    (a, sfa, b, sfb, group_layout),
    recipe_a=recipe_a,
    recipe_b=recipe_b,
    **params,
  )


def m_grouped_fp8_fp4_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_layout: jax.Array,
  **params: Unpack[MGroupedParams],
) -> jax.Array:
  """Returns (a * sfa)[i] @ (b * sfb)[g].T in row i of group g, else zero.

  Scales are as in `fp8_fp4_gemm`, the rest as in `m_grouped_fp8_gemm`.

  Args:
    a: `[m, k]`, or `[g, m, k]` if masked, float8_e4m3fn.
    sfa: `[(g,) m, ceil(k / 128)]` float32.
    b: `[g, n, ceil(k / 2)]` int8, two e2m1 codes each.
    sfb: `[g, n, ceil(k / 128)]` int32, four UE8M0 scales each.
    group_layout: as in `m_grouped_fp8_gemm`.
    **params: see `MGroupedParams`.
  """
  operands = (a, sfa, b, sfb, group_layout)
  return m_grouped_rules.bind(m_grouped_fp8_fp4_gemm_p, operands, **params)


def m_grouped_bf16_gemm(
  a: jax.Array,
  b: jax.Array,
  group_layout: jax.Array,
  *,
  b_mn_major: bool = False,
  **params: Unpack[MGroupedParams],
) -> jax.Array:
  """Returns a[i] @ b[g].T in row i of group g; see `m_grouped_fp8_gemm`.

  With `b_mn_major` b is `[g, k, n]`, and the result a[i] @ b[g].
  """
  return m_grouped_rules.bind(
    m_grouped_bf16_gemm_p,
    (a, b, group_layout),
    b_mn_major=b_mn_major,
    **params,
  )


m_grouped_rules.register(
  m_grouped_fp8_gemm_p,
  m_grouped_rules.refuse_scaled_jvp,
  m_grouped_reference.m_grouped_fp8_gemm,
  # Looked up at every lowering.
  lambda *x, **kwargs: sm90_m_grouped_fp8_gemm.run(*x, **kwargs),
)
m_grouped_rules.register(
  m_grouped_fp8_fp4_gemm_p,
  m_grouped_rules.refuse_scaled_jvp,
  m_grouped_reference.m_grouped_fp8_fp4_gemm,
  lambda *x, **kwargs: sm90_m_grouped_fp8_fp4_gemm.run(*x, **kwargs),
)
m_grouped_rules.register(
  m_grouped_bf16_gemm_p,
  m_grouped_rules.refuse_plain_jvp,
  m_grouped_reference.m_grouped_bf16_gemm,
  lambda *x, **kwargs: sm90_m_grouped_bf16_gemm.run(*x, **kwargs),
)
