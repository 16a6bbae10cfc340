"""m-grouped GEMMs of fp8 with FP4 weights.

What holds for all functions is written at `fp8_fp4_gemm_nt` (operands) and
`m_grouped_fp8_gemm_nt_contiguous` (groups).
"""

from collections.abc import Sequence
from typing import Any

import jax

from jax_deepgemm.grouped_operands import checked_contiguous_layout
from jax_deepgemm.grouped_product import fp8_fp4_product


def m_grouped_fp8_fp4_gemm_nt_contiguous(
  a: Any,
  b: Any,
  grouped_layout: jax.Array,
  *,
  use_psum_layout: bool = False,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
  expected_m: int | None = None,
) -> jax.Array:
  """Returns `dequantize(a)[i] @ dequantize(b)[g].T` in row i of group g.

  Groups are those of `m_grouped_fp8_gemm_nt_contiguous`, which this is if b is
  not FP4; b in FP4 is what `per_token_cast_to_fp4(w, use_ue8m0=True, gran_k=32,
  use_packed_ue8m0=True)` returns of a `[g, n, k]` array w. With other scales,
  and where a is FP4, it is decoded to fp8 first, as in `fp8_fp4_gemm_nt`.

  Gradients flow to a plain a alone, dY times b quantised again, 128 x 128.

  Args:
    a: `[m, k]`; scales `[ceil(m / gran_m), ceil(k / gran_k)]`.
    b: `[g, n, k / 2]` int8; scales `[g, n, ceil(k / 128)]` int32. Or fp8, as in
      `m_grouped_fp8_gemm_nt_contiguous`.
    grouped_layout: as in `m_grouped_fp8_gemm_nt_contiguous`.
    use_psum_layout: as in `m_grouped_fp8_gemm_nt_contiguous`.
    out_dtype: bfloat16 (default) or float32.
    recipe: (gran_m, gran_n, gran_k), instead of the two below.
    recipe_a: (gran_m, gran_k): (1, 128), (128, 128) or (1, 32); by default
      (1, 32) for FP4 and (1, 128) for fp8.
    recipe_b: (gran_n, gran_k), likewise; without FP4 (128, 128) by default.
    expected_m: rows that a group is expected to have; a hint. Few rows have a
      kernel of their own, which rounds sums in another order.

  Returns:
    D, `[m, n]` in `out_dtype`.

  Raises:
    TypeError: the form or dtype of an argument is wrong, or a gradient of a
      quantised operand is asked for.
    ValueError: a rank, shape or recipe is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper, or there is no kernel for the recipes on Hopper.
  """
  return fp8_fp4_product(
    checked_contiguous_layout(use_psum_layout),
    a,
    b,
    grouped_layout,
    out_dtype=out_dtype,
    recipe=recipe,
    recipe_a=recipe_a,
    recipe_b=recipe_b,
    expected_m=expected_m,
  )


def m_grouped_fp8_fp4_gemm_nn_contiguous(
  a: Any,
  b: Any,
  grouped_layout: jax.Array,
  *,
  use_psum_layout: bool = False,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
  expected_m: int | None = None,
) -> jax.Array:
  """Returns `dequantize(a)[i] @ dequantize(b)[g]` in row i of group g.

  See `m_grouped_fp8_fp4_gemm_nt_contiguous`; b is transposed first.

  Args:
    a: `[m, k]`; scales `[ceil(m / gran_m), ceil(k / gran_k)]`.
    b: `[g, k, n / 2]` int8; scales `[g, ceil(k / 128), n]` int32. Or fp8, as in
      `m_grouped_fp8_gemm_nn_contiguous`.
    grouped_layout: as in `m_grouped_fp8_gemm_nt_contiguous`.
    use_psum_layout: as in `m_grouped_fp8_gemm_nt_contiguous`.
    out_dtype: as in `m_grouped_fp8_fp4_gemm_nt_contiguous`.
    recipe: as in `m_grouped_fp8_fp4_gemm_nt_contiguous`.
    recipe_a: as in `m_grouped_fp8_fp4_gemm_nt_contiguous`.
    recipe_b: as in `m_grouped_fp8_fp4_gemm_nt_contiguous`.
    expected_m: as in `m_grouped_fp8_fp4_gemm_nt_contiguous`.
  """
  return fp8_fp4_product(
    checked_contiguous_layout(use_psum_layout),
    a,
    b,
    grouped_layout,
    transposed_b=True,
    out_dtype=out_dtype,
    recipe=recipe,
    recipe_a=recipe_a,
    recipe_b=recipe_b,
    expected_m=expected_m,
  )


def m_grouped_fp8_fp4_gemm_nt_masked(
  a: Any,
  b: Any,
  masked_m: jax.Array,
  *,
  zero_padding: bool = False,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
  expected_m: int | None = None,
) -> jax.Array:
  """Returns `dequantize(a)[g] @ dequantize(b)[g].T` for the first rows of g.

  See `m_grouped_fp8_gemm_nt_masked` for the groups and
  `m_grouped_fp8_fp4_gemm_nt_contiguous` for the operands.

  Args:
    a: `[g, m, k]`; scales `[g, ceil(m / gran_m), ceil(k / gran_k)]`.
    b: `[g, n, k / 2]` int8; scales `[g, n, ceil(k / 128)]` int32. Or fp8, as in
      `m_grouped_fp8_gemm_nt_masked`.
    masked_m: int32 `[g]`, rows of each group in use.
    zero_padding: rows past masked_m are zero in the result.
    out_dtype: as in `m_grouped_fp8_fp4_gemm_nt_contiguous`.
    recipe: as in `m_grouped_fp8_fp4_gemm_nt_contiguous`.
    recipe_a: as in `m_grouped_fp8_fp4_gemm_nt_contiguous`.
    recipe_b: as in `m_grouped_fp8_fp4_gemm_nt_contiguous`.
    expected_m: as in `m_grouped_fp8_fp4_gemm_nt_contiguous`.

  Returns:
    D, `[g, m, n]` in `out_dtype`.
  """
  return fp8_fp4_product(
    "masked",
    a,
    b,
    masked_m,
    out_dtype=out_dtype,
    recipe=recipe,
    recipe_a=recipe_a,
    recipe_b=recipe_b,
    expected_m=expected_m,
    zero_padding=zero_padding,
  )
