"""m-grouped fp8 GEMMs, the products of a mixture of experts.

Rows of A that belong to group g, say the tokens of one expert, are multiplied
with B[g]. What holds for all functions is written at
`m_grouped_fp8_gemm_nt_contiguous`; they differ in how rows tell their group.
"""

from collections.abc import Sequence
from typing import Any

import jax

from jax_deepgemm.grouped_operands import checked_contiguous_layout
from jax_deepgemm.grouped_product import fp8_product


def m_grouped_fp8_gemm_nt_contiguous(
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

  With the default recipe,

    D[i, j] = sum_k a[i, k] * sfa[i, k // 128]
                    * b[g, j, k] * sfb[g, j // 128, k // 128]

  summed in float32. Rows that belong to no group are zero, whatever a holds
  there, NaN included. Each group starts at a multiple of
  `get_mk_alignment_for_contiguous_layout()`, which is read when this function
  is traced; its rows lie one after the other, and rows of none may follow up
  to the next multiple. What other orders of ids give is not defined.

  Operands are pairs (values, scales) or plain arrays, as in `fp8_gemm_nt`;
  plain ones are quantised here, and gradients flow to them alone. dA is
  m-grouped in fp8, dY 1 x 128 times B 128 x 128; dB multiplies dY and A in fp8,
  1 x 128 along the rows of a group, as `k_grouped_fp8_gemm_tn_contiguous`
  does. Rows that belong to no group have gradient zero and give none.

  Any size and any number of groups may be zero. The layout is a value of the
  device: sizes below 0 count as 0, ends past the last row as that row, ids that
  are no group's as -1, and a psum end before an earlier one as that.

  `vmap` makes one launch: batched rows are more rows (padded to the alignment),
  and if b is batched its groups are more groups. Under `shard_map` it computes
  the shard. Under explicit sharding n stays sharded as b's where shards hold
  whole scale blocks, all else is gathered; under automatic sharding XLA gathers
  the operands of the kernel.

  Args:
    a: `[m, k]`; scales `[ceil(m / gran_m), ceil(k / gran_k)]`.
    b: `[g, n, k]`; scales `[g, ceil(n / gran_n), ceil(k / gran_k)]`.
    grouped_layout: int32 `[m]`, the group of each row, or -1 for none; with
      use_psum_layout int32 `[g]`, the end of each group, which starts where the
      one before ended, rounded up to the alignment.
    use_psum_layout: grouped_layout holds ends.
    out_dtype: bfloat16 (default) or float32.
    recipe: (gran_m, gran_n, gran_k), by default (1, 128, 128).
    recipe_a: (gran_m, gran_k), instead of `recipe` and with recipe_b: (1, 128),
      (128, 128) or (1, 32).
    recipe_b: (gran_n, gran_k).
    expected_m: rows that a group is expected to have; a hint that changes
      speed alone.

  Returns:
    D, `[m, n]` in `out_dtype`.

  Raises:
    TypeError: the form or dtype of an argument is wrong, or a gradient of a
      quantised operand is asked for.
    ValueError: a rank, shape or recipe is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper, or there is no kernel for the recipe on Hopper.
  """
  return fp8_product(
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


def m_grouped_fp8_gemm_nn_contiguous(
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

  See `m_grouped_fp8_gemm_nt_contiguous`. Hopper multiplies fp8 along the
  contiguous dimension only, so b is transposed first.

  Args:
    a: `[m, k]`; scales `[ceil(m / gran_m), ceil(k / gran_k)]`.
    b: `[g, k, n]`; scales `[g, ceil(k / gran_k), ceil(n / gran_n)]`.
    grouped_layout: as in `m_grouped_fp8_gemm_nt_contiguous`.
    use_psum_layout: as in `m_grouped_fp8_gemm_nt_contiguous`.
    out_dtype: as in `m_grouped_fp8_gemm_nt_contiguous`.
    recipe: as in `m_grouped_fp8_gemm_nt_contiguous`.
    recipe_a: as in `m_grouped_fp8_gemm_nt_contiguous`.
    recipe_b: as in `m_grouped_fp8_gemm_nt_contiguous`.
    expected_m: as in `m_grouped_fp8_gemm_nt_contiguous`.
  """
  return fp8_product(
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


def m_grouped_fp8_gemm_nt_ragged(
  a: Any,
  b: Any,
  group_sizes: jax.Array,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
  expected_m: int | None = None,
) -> jax.Array:
  """Returns `dequantize(a)[i] @ dequantize(b)[g].T` in row i of group g.

  The groups are consecutive ranges of rows of any size, without alignment or
  gaps, as in `jax.lax.ragged_dot`. `vmap` is a loop with a launch for each
  element. See `m_grouped_fp8_gemm_nt_contiguous` for the rest.

  Args:
    a: `[m, k]`; scales `[ceil(m / gran_m), ceil(k / gran_k)]`.
    b: `[g, n, k]`; scales `[g, ceil(n / gran_n), ceil(k / gran_k)]`.
    group_sizes: int32 `[g]`, rows of each group. Rows past their sum belong to
      no group; groups that do not fit into m rows are cut.
    out_dtype: as in `m_grouped_fp8_gemm_nt_contiguous`.
    recipe: as in `m_grouped_fp8_gemm_nt_contiguous`.
    recipe_a: as in `m_grouped_fp8_gemm_nt_contiguous`.
    recipe_b: as in `m_grouped_fp8_gemm_nt_contiguous`.
    expected_m: as in `m_grouped_fp8_gemm_nt_contiguous`.

  Returns:
    D, `[m, n]` in `out_dtype`.
  """
  return fp8_product(
    "ragged",
    a,
    b,
    group_sizes,
    out_dtype=out_dtype,
    recipe=recipe,
    recipe_a=recipe_a,
    recipe_b=recipe_b,
    expected_m=expected_m,
  )


def m_grouped_fp8_gemm_nt_masked(
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

  Each group has room for m rows and uses the first masked_m[g] of them. The
  others are not defined in the result, unless zero_padding makes them zero.

  `vmap` makes one launch if b is batched too, or if m is a multiple of the
  alignment of contiguous layouts; else it is a loop with a launch for each
  element. Under explicit sharding groups stay sharded as b's. See
  `m_grouped_fp8_gemm_nt_contiguous` for the rest.

  Args:
    a: `[g, m, k]`; scales `[g, ceil(m / gran_m), ceil(k / gran_k)]`.
    b: `[g, n, k]`; scales `[g, ceil(n / gran_n), ceil(k / gran_k)]`.
    masked_m: int32 `[g]`, rows of each group in use.
    zero_padding: rows past masked_m are zero in the result.
    out_dtype: as in `m_grouped_fp8_gemm_nt_contiguous`.
    recipe: as in `m_grouped_fp8_gemm_nt_contiguous`.
    recipe_a: as in `m_grouped_fp8_gemm_nt_contiguous`.
    recipe_b: as in `m_grouped_fp8_gemm_nt_contiguous`.
    expected_m: as in `m_grouped_fp8_gemm_nt_contiguous`.

  Returns:
    D, `[g, m, n]` in `out_dtype`.
  """
  return fp8_product(
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
