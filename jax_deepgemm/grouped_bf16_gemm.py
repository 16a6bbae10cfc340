"""m-grouped bfloat16 GEMMs; see `m_grouped_fp8_gemm_nt_contiguous`.

Operands are plain bfloat16 arrays and sums are float32. Gradients flow to both
operands and are bfloat16 products themselves: dA is m-grouped, dB is k-grouped.
Second derivatives raise `NotImplementedError`.
"""

from typing import Any

import jax

from jax_deepgemm.grouped_operands import checked_contiguous_layout
from jax_deepgemm.grouped_product import bf16_product


def m_grouped_bf16_gemm_nt_contiguous(
  a: Any,
  b: Any,
  grouped_layout: jax.Array,
  *,
  use_psum_layout: bool = False,
  out_dtype: jax.typing.DTypeLike | None = None,
  expected_m: int | None = None,
) -> jax.Array:
  """Returns `a[i] @ b[g].T` in row i of group g; other rows are zero.

  Groups, gaps and transformations are those of
  `m_grouped_fp8_gemm_nt_contiguous`.

  Args:
    a: `[m, k]` bfloat16.
    b: `[g, n, k]` bfloat16.
    grouped_layout: as in `m_grouped_fp8_gemm_nt_contiguous`.
    use_psum_layout: as in `m_grouped_fp8_gemm_nt_contiguous`.
    out_dtype: bfloat16 (default) or float32.
    expected_m: as in `m_grouped_fp8_gemm_nt_contiguous`.

  Returns:
    D, `[m, n]` in `out_dtype`.

  Raises:
    TypeError: the dtype of an argument is wrong.
    ValueError: a rank or shape is wrong.
    NotImplementedError: there is no kernel and one was asked for.
  """
  return bf16_product(
    checked_contiguous_layout(use_psum_layout),
    a,
    b,
    grouped_layout,
    out_dtype=out_dtype,
    expected_m=expected_m,
  )


def m_grouped_bf16_gemm_nn_contiguous(
  a: Any,
  b: Any,
  grouped_layout: jax.Array,
  *,
  use_psum_layout: bool = False,
  out_dtype: jax.typing.DTypeLike | None = None,
  expected_m: int | None = None,
) -> jax.Array:
  """Returns `a[i] @ b[g]` in row i of group g; other rows are zero.

  Groups, gaps and transformations are those of
  `m_grouped_fp8_gemm_nn_contiguous`.

  Args:
    a: `[m, k]` bfloat16.
    b: `[g, k, n]` bfloat16.
    grouped_layout: as in `m_grouped_fp8_gemm_nn_contiguous`.
    use_psum_layout: as in `m_grouped_fp8_gemm_nn_contiguous`.
    out_dtype: bfloat16 (default) or float32.
    expected_m: as in `m_grouped_fp8_gemm_nt_contiguous`.

  Returns:
    D, `[m, n]` in `out_dtype`.

  Raises:
    TypeError: the dtype of an argument is wrong.
    ValueError: a rank or shape is wrong.
    NotImplementedError: there is no kernel and one was asked for.
  """
  return bf16_product(
    checked_contiguous_layout(use_psum_layout),
    a,
    b,
    grouped_layout,
    transposed_b=True,
    out_dtype=out_dtype,
    expected_m=expected_m,
  )


def m_grouped_bf16_gemm_nt_ragged(
  a: Any,
  b: Any,
  group_sizes: jax.Array,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  expected_m: int | None = None,
) -> jax.Array:
  """Returns `a[i] @ b[g].T` in row i of group g; other rows are zero.

  Groups, gaps and transformations are those of
  `m_grouped_fp8_gemm_nt_ragged`.
  This is `jax.lax.ragged_dot(a, swapaxes(b, 1, 2), group_sizes)`.

  Args:
    a: `[m, k]` bfloat16.
    b: `[g, n, k]` bfloat16.
    group_sizes: as in `m_grouped_fp8_gemm_nt_ragged`.
    out_dtype: bfloat16 (default) or float32.
    expected_m: as in `m_grouped_fp8_gemm_nt_contiguous`.

  Returns:
    D, `[m, n]` in `out_dtype`.

  Raises:
    TypeError: the dtype of an argument is wrong.
    ValueError: a rank or shape is wrong.
    NotImplementedError: there is no kernel and one was asked for.
  """
  return bf16_product(
    "ragged",
    a,
    b,
    group_sizes,
    out_dtype=out_dtype,
    expected_m=expected_m,
  )


def m_grouped_bf16_gemm_nt_masked(
  a: Any,
  b: Any,
  masked_m: jax.Array,
  *,
  zero_padding: bool = False,
  out_dtype: jax.typing.DTypeLike | None = None,
  expected_m: int | None = None,
) -> jax.Array:
  """Returns `a[g] @ b[g].T`, of the first masked_m[g] rows of each g.

  Groups, gaps and transformations are those of
  `m_grouped_fp8_gemm_nt_masked`.

  Args:
    a: `[g, m, k]` bfloat16.
    b: `[g, n, k]` bfloat16.
    masked_m: as in `m_grouped_fp8_gemm_nt_masked`.
    zero_padding: as in `m_grouped_fp8_gemm_nt_masked`.
    out_dtype: bfloat16 (default) or float32.
    expected_m: as in `m_grouped_fp8_gemm_nt_contiguous`.

  Returns:
    D, `[g, m, n]` in `out_dtype`.

  Raises:
    TypeError: the dtype of an argument is wrong.
    ValueError: a rank or shape is wrong.
    NotImplementedError: there is no kernel and one was asked for.
  """
  return bf16_product(
    "masked",
    a,
    b,
    masked_m,
    out_dtype=out_dtype,
    expected_m=expected_m,
    zero_padding=zero_padding,
  )
