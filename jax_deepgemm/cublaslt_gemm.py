"""Dense GEMMs by XLA's own dot, which is cuBLASLt on a GPU.

For comparison and parity. What holds for all four functions is written at
`cublaslt_gemm_nt`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jax_deepgemm.gemm_arguments import checked_c, checked_matrix, checked_out

_DTYPES = ("bfloat16", "float8_e4m3fn")


def cublaslt_gemm_nt(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """Returns `c + a @ b.T`, computed by XLA.

  float8_e4m3fn operands have no scales; their products are summed in float32,
  without cuBLASLt's fast accumulation in 14 bits. Differentiable and shardable
  as `jax.lax.dot_general` is.

  Args:
    a: bfloat16 or float8_e4m3fn `[m, k]`.
    b: `[n, k]` of the same dtype.
    c: `[m, n]` in `out_dtype`, added before the result is rounded, or None.
    out_dtype: bfloat16 or float32; by default c's, or bfloat16 without c.

  Returns:
    `[m, n]` in `out_dtype`.

  Raises:
    TypeError: the dtype of an argument is wrong.
    ValueError: a rank or shape is wrong.
  """
  return _dot("nt", a, b, c, out_dtype)


def cublaslt_gemm_nn(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """Returns `c + a @ b`, computed by XLA; see `cublaslt_gemm_nt`.

  Args:
    a: bfloat16 or float8_e4m3fn `[m, k]`.
    b: `[k, n]` of the same dtype.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `cublaslt_gemm_nt`.
  """
  return _dot("nn", a, b, c, out_dtype)


def cublaslt_gemm_tn(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """Returns `c + a.T @ b`, computed by XLA; see `cublaslt_gemm_nt`.

  Args:
    a: bfloat16 or float8_e4m3fn `[k, m]`.
    b: `[k, n]` of the same dtype.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `cublaslt_gemm_nt`.
  """
  return _dot("tn", a, b, c, out_dtype)


def cublaslt_gemm_tt(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """Returns `c + a.T @ b.T`, computed by XLA; see `cublaslt_gemm_nt`.

  Args:
    a: bfloat16 or float8_e4m3fn `[k, m]`.
    b: `[n, k]` of the same dtype.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `cublaslt_gemm_nt`.
  """
  return _dot("tt", a, b, c, out_dtype)


def _dot(
  layout: str,
  a: Any,
  b: Any,
  c: Any,
  out_dtype: jax.typing.DTypeLike | None,
) -> jax.Array:
  a = checked_matrix("a", a, "m", layout[0] == "t", _DTYPES)
  b = checked_matrix("b", b, "n", layout[1] == "n", _DTYPES)
  if a.dtype != b.dtype:
    raise TypeError(
      f"a and b must have the same dtype, got {a.dtype.name} and {b.dtype.name}"
    )
  k_of_a = 0 if layout[0] == "t" else 1
  k_of_b = 0 if layout[1] == "n" else 1
  k, other_k = a.shape[k_of_a], b.shape[k_of_b]
  if k != other_k:
    raise ValueError(f"a and b must have the same k, got {k} and {other_k}")
  dtype = checked_out(out_dtype, c)
  c = checked_c(c, (a.shape[1 - k_of_a], b.shape[1 - k_of_b]), dtype)
  total = lax.dot_general(
    a,
    b,
    (((k_of_a,), (k_of_b,)), ((), ())),
    # Turns fast accumulation off.
    precision=lax.Precision.HIGHEST if a.dtype.itemsize == 1 else None,
    preferred_element_type=dtype if c is None else jnp.float32,
  )
  if c is None:
    return total
  return (total + c.astype(jnp.float32)).astype(dtype)
