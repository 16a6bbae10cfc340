"""Dense fp8 GEMMs: `D = C + A @ B`, for each layout of A and B.

What holds for all four functions is written at `fp8_gemm_nt`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm import gemm_gradient
from jax_deepgemm.explicit_sharding import explicit_mesh, gemm_over_mesh
from jax_deepgemm.gemm_arguments import checked_c, checked_out
from jax_deepgemm.gemm_gradient import GemmParams
from jax_deepgemm.gemm_operands import Operand, canonical_operand, values_of
from jax_deepgemm.options import current
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder
from jax_deepgemm.recipes import resolve_recipes


def fp8_gemm_nt(
  a: Any,
  b: Any,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
) -> jax.Array:
  """Returns `c + dequantize(a) @ dequantize(b).T`, summed in float32.

  With the default recipe,

    D[i, j] = c[i, j] + sum_k a[i, k] * sfa[i, k // 128]
                              * b[j, k] * sfb[j // 128, k // 128]

  An operand is quantised, a pair (values, scales), or plain. Pairs may be
  tuples, `ScaledArray`s or objects with `.qvalue` and `.scale`: float8_e4m3fn
  values and float32 scales, or int32 scales that hold four UE8M0 exponents
  each along k. A plain bfloat16 or float32 array is quantised here. Gradients
  flow to plain arrays and c: those of the unquantised product, themselves
  computed in fp8 (dA from dY 1 x 128 and B 128 x 128, dB from dY and A 1 x 128
  along m).

  Any size may be zero or no multiple of anything. On Hopper rows must begin at
  multiples of 16 bytes: operands are copied to pad k to a multiple of 16, and
  the result if n is no multiple of 8 (4 in float32). `vmap` makes one launch.
  Under `shard_map` it computes the shard; under explicit and automatic sharding
  m, n and k stay sharded where shards hold whole scale blocks, and a sharded k
  costs one float32 psum.

  FP8 tensor cores keep about 14 bits of the sum of 128 products: a float32
  result has a relative error near 2e-4 (docs/performance.md).

  Args:
    a: `[m, k]`; scales `[ceil(m / gran_m), ceil(k / gran_k)]`.
    b: `[n, k]`; scales `[ceil(n / gran_n), ceil(k / gran_k)]`.
    c: `[m, n]` in `out_dtype`, added before the result is rounded; its memory
      becomes the result's if it is donated.
    out_dtype: bfloat16 or float32; by default c's, or bfloat16 without c.
    recipe: (gran_m, gran_n, gran_k), by default (1, 128, 128).
    recipe_a: (gran_m, gran_k), instead of `recipe` and with recipe_b: (1, 128),
      (128, 128) or (1, 32).
    recipe_b: (gran_n, gran_k).

  Returns:
    D, `[m, n]` in `out_dtype`.

  Raises:
    TypeError: the form or dtype of an argument is wrong, or a gradient of a
      quantised operand is asked for.
    ValueError: a rank, shape or recipe is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper, or there is no kernel for the recipe on Hopper.
  """
  return gemm_of_layout("nt", a, b, c, out_dtype, recipe, recipe_a, recipe_b)


def fp8_gemm_nn(
  a: Any,
  b: Any,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
) -> jax.Array:
  """Returns `c + dequantize(a) @ dequantize(b)`; see `fp8_gemm_nt`.

  Hopper multiplies fp8 along the contiguous dimension only, so b is transposed
  first.

  Args:
    a: `[m, k]`; scales `[ceil(m / gran_m), ceil(k / gran_k)]`.
    b: `[k, n]`; scales `[ceil(k / gran_k), ceil(n / gran_n)]`.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `fp8_gemm_nt`.
    recipe: as in `fp8_gemm_nt`.
    recipe_a: as in `fp8_gemm_nt`.
    recipe_b: as in `fp8_gemm_nt`.
  """
  return gemm_of_layout("nn", a, b, c, out_dtype, recipe, recipe_a, recipe_b)


def fp8_gemm_tn(
  a: Any,
  b: Any,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
) -> jax.Array:
  """Returns `c + dequantize(a).T @ dequantize(b)`; see `fp8_gemm_nt`.

  Hopper multiplies fp8 along the contiguous dimension only, so a and b are
  transposed first.

  Args:
    a: `[k, m]`; scales `[ceil(k / gran_k), ceil(m / gran_m)]`.
    b: `[k, n]`; scales `[ceil(k / gran_k), ceil(n / gran_n)]`.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `fp8_gemm_nt`.
    recipe: as in `fp8_gemm_nt`.
    recipe_a: as in `fp8_gemm_nt`.
    recipe_b: as in `fp8_gemm_nt`.
  """
  return gemm_of_layout("tn", a, b, c, out_dtype, recipe, recipe_a, recipe_b)


def fp8_gemm_tt(
  a: Any,
  b: Any,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
  recipe_a: Sequence[int] | None = None,
  recipe_b: Sequence[int] | None = None,
) -> jax.Array:
  """Returns `c + dequantize(a).T @ dequantize(b).T`; see `fp8_gemm_nt`.

  Hopper multiplies fp8 along the contiguous dimension only, so a is transposed
  first.

  Args:
    a: `[k, m]`; scales `[ceil(k / gran_k), ceil(m / gran_m)]`.
    b: `[n, k]`; scales `[ceil(n / gran_n), ceil(k / gran_k)]`.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `fp8_gemm_nt`.
    recipe: as in `fp8_gemm_nt`.
    recipe_a: as in `fp8_gemm_nt`.
    recipe_b: as in `fp8_gemm_nt`.
  """
  return gemm_of_layout("tt", a, b, c, out_dtype, recipe, recipe_a, recipe_b)


def gemm_of_layout(
  layout: str,
  a: Any,
  b: Any,
  c: Any,
  out_dtype: jax.typing.DTypeLike | None,
  recipe: Sequence[int] | None,
  recipe_a: Sequence[int] | None,
  recipe_b: Sequence[int] | None,
  memory: MemoryOrder = ROW_MAJOR,
) -> jax.Array:
  """Checks, brings everything to layout nt, and chooses how to compute it."""
  recipe_a, recipe_b = resolve_recipes(recipe, recipe_a, recipe_b)
  a = canonical_operand(
    "a", a, rows="m", transposed=layout[0] == "t", recipe=recipe_a
  )
  b = canonical_operand(
    "b", b, rows="n", transposed=layout[1] == "n", recipe=recipe_b
  )
  m, k = values_of(a).shape
  n = _checked_n(k, b)
  out_dtype = checked_out(out_dtype, c)
  c = checked_c(c, (m, n), out_dtype)
  if 0 in (m, n, k):
    return jnp.zeros((m, n), out_dtype) if c is None else c
  params = GemmParams(out_dtype, recipe_a, recipe_b, current(), memory=memory)
  return product(a, b, c, params)


def product(
  a: Operand, b: Operand, c: jax.Array | None, params: GemmParams
) -> jax.Array:
  """Returns c + a @ b.T of checked operands, over the mesh that they are on."""
  mesh = explicit_mesh(a, b, c)
  if mesh is not None:
    return gemm_over_mesh(gemm_gradient.gemm, mesh, a, b, c, params)
  return gemm_gradient.gemm(a, b, c, params)


def _checked_n(k: int, b: Operand) -> int:
  n, k_of_b = values_of(b).shape
  if k != k_of_b:
    raise ValueError(f"a and b must have the same k, got {k} and {k_of_b}")
  return n
