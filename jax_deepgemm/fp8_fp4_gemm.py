"""Dense GEMMs of fp8 with FP4: `D = C + A @ B`, for each layout of A and B.

What holds for all four functions is written at `fp8_fp4_gemm_nt`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.fp4_operands import (
  canonical,
  common_k,
  default_recipe,
  is_fp4_pair,
  is_packed_fp4,
  multipliable,
)
from jax_deepgemm.gemm import gemm_of_layout, product
from jax_deepgemm.gemm_arguments import checked_c, checked_out
from jax_deepgemm.gemm_gradient import GemmParams
from jax_deepgemm.gemm_operands import values_of
from jax_deepgemm.options import current
from jax_deepgemm.recipes import resolve_recipes


def fp8_fp4_gemm_nt(
  a: Any,
  b: Any,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
) -> jax.Array:
  """Returns `c + dequantize(a) @ dequantize(b).T`, one side of them FP4.

  With the default recipes and b in FP4,

    D[i, j] = c[i, j] + sum_k a[i, k] * sfa[i, k // 128]
                              * decode(b)[j, k] * sfb[j, k // 32]

  The FP4 side is what `per_token_cast_to_fp4(w, use_ue8m0=True, gran_k=32,
  use_packed_ue8m0=True)` returns: a pair of int8 values, two codes along k
  each, and int32 scales, four exponents each. The other side is fp8, a pair or
  plain, as in `fp8_gemm_nt`; a plain array is quantised here with its recipe.
  If a is the FP4 side, the product is computed with both exchanged and
  transposed. Without an FP4 side this is `fp8_gemm_nt`.

  FP4 with other scales (float32, or not 1 x 32), next to fp8 with 1 x 32
  scales, or on both sides is decoded to fp8 first, which is exact, and
  multiplied by `fp8_gemm_nt`: for scales 1 x 32 that has no Hopper kernel.
  Scales that are powers of two can be packed by `pack_ue8m0_to_int`. A byte of
  255 stands for NaN, and 0 for the scale 0.0.

  Gradients flow to a plain array and to c. That of a is `dY @ dequantize(b)`,
  computed in fp8 as in `fp8_gemm_nt`: b is decoded and quantised again,
  128 x 128. FP4 has no gradient.

  Any size may be zero or no multiple of anything; if k is odd, the last high
  nibbles of the FP4 side have no effect. Layouts, `vmap` and shardings are as
  in `fp8_gemm_nt`, where a shard of k must hold whole blocks of 128.

  Args:
    a: `[m, k]`; scales `[ceil(m / gran_m), ceil(k / gran_k)]`; or FP4,
      `[m, k / 2]` and `[m, ceil(k / 128)]` int32.
    b: `[n, k]`; scales `[ceil(n / gran_n), ceil(k / gran_k)]`; or FP4,
      `[n, k / 2]` and `[n, ceil(k / 128)]` int32.
    c: `[m, n]` in `out_dtype`, added before the result is rounded.
    out_dtype: bfloat16 or float32; by default c's, or bfloat16 without c.
    recipe: (gran_m, gran_n, gran_k), instead of the two below.
    recipe_a: (gran_m, gran_k): (1, 128), (128, 128) or (1, 32); by default
      (1, 32) for FP4 and (1, 128) for fp8.
    recipe_b: (gran_n, gran_k), likewise.

  Returns:
    D, `[m, n]` in `out_dtype`.

  Raises:
    TypeError: the form or dtype of an argument is wrong, or a gradient of a
      quantised operand is asked for.
    ValueError: a rank, shape or recipe is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper, or there is no kernel for the recipes on Hopper.
  """
  return _gemm("nt", a, b, c, out_dtype, recipe, recipe_a, recipe_b)


def fp8_fp4_gemm_nn(
  a: Any,
  b: Any,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
) -> jax.Array:
  """Returns `c + dequantize(a) @ dequantize(b)`; see `fp8_fp4_gemm_nt`.

  FP4 values that come transposed hold two codes of neighbouring columns, as
  `transpose_packed_fp4` returns them; it is what transposes them back first.

  Args:
    a: as in `fp8_fp4_gemm_nt`.
    b: `[k, n]`; scales `[ceil(k / gran_k), ceil(n / gran_n)]`; or FP4,
      `[k, n / 2]` and `[ceil(k / 128), n]` int32.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `fp8_fp4_gemm_nt`.
    recipe: as in `fp8_fp4_gemm_nt`.
    recipe_a: as in `fp8_fp4_gemm_nt`.
    recipe_b: as in `fp8_fp4_gemm_nt`.
  """
  return _gemm("nn", a, b, c, out_dtype, recipe, recipe_a, recipe_b)


def fp8_fp4_gemm_tn(
  a: Any,
  b: Any,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
) -> jax.Array:
  """Returns `c + dequantize(a).T @ dequantize(b)`; see `fp8_fp4_gemm_nn`.

  Args:
    a: `[k, m]`; scales `[ceil(k / gran_k), ceil(m / gran_m)]`; or FP4,
      `[k, m / 2]` and `[ceil(k / 128), m]` int32.
    b: as in `fp8_fp4_gemm_nn`.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `fp8_fp4_gemm_nt`.
    recipe: as in `fp8_fp4_gemm_nt`.
    recipe_a: as in `fp8_fp4_gemm_nt`.
    recipe_b: as in `fp8_fp4_gemm_nt`.
  """
  return _gemm("tn", a, b, c, out_dtype, recipe, recipe_a, recipe_b)


def fp8_fp4_gemm_tt(
  a: Any,
  b: Any,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
) -> jax.Array:
  """Returns `c + dequantize(a).T @ dequantize(b).T`; see `fp8_fp4_gemm_nt`.

  Args:
    a: as in `fp8_fp4_gemm_tn`.
    b: as in `fp8_fp4_gemm_nt`.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `fp8_fp4_gemm_nt`.
    recipe: as in `fp8_fp4_gemm_nt`.
    recipe_a: as in `fp8_fp4_gemm_nt`.
    recipe_b: as in `fp8_fp4_gemm_nt`.
  """
  return _gemm("tt", a, b, c, out_dtype, recipe, recipe_a, recipe_b)


def _gemm(
  layout: str,
  a: Any,
  b: Any,
  c: Any,
  out_dtype: jax.typing.DTypeLike | None,
  recipe: Sequence[int] | None,
  recipe_a: Sequence[int] | None,
  recipe_b: Sequence[int] | None,
) -> jax.Array:
  """Checks, brings everything to layout nt, and chooses how to compute it."""
  if not is_fp4_pair("a", a) and not is_fp4_pair("b", b):
    return gemm_of_layout(
      layout, a, b, c, out_dtype, recipe, recipe_a, recipe_b
    )
  if recipe is None and recipe_a is None and recipe_b is None:
    recipe_a, recipe_b = default_recipe("a", a), default_recipe("b", b)
  recipe_a, recipe_b = resolve_recipes(recipe, recipe_a, recipe_b)
  a, ks_of_a = canonical("a", a, "m", layout[0] == "t", recipe_a)
  b, ks_of_b = canonical("b", b, "n", layout[1] == "n", recipe_b)
  k = common_k(ks_of_a, ks_of_b)
  m, n = values_of(a).shape[0], values_of(b).shape[0]
  out_dtype = checked_out(out_dtype, c)
  c = checked_c(c, (m, n), out_dtype)
  if 0 in (m, n, k):
    return jnp.zeros((m, n), out_dtype) if c is None else c
  a, b = multipliable(a, b, k, recipe_a, recipe_b)
  params = GemmParams(out_dtype, recipe_a, recipe_b, current())
  if is_packed_fp4(a):
    params = GemmParams(out_dtype, recipe_b, recipe_a, current(), b_is_fp4=True)
    return product(b, a, None if c is None else c.T, params).T
  if is_packed_fp4(b):
    params = GemmParams(out_dtype, recipe_a, recipe_b, current(), b_is_fp4=True)
  return product(a, b, c, params)
