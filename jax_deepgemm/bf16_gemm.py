"""Dense BF16 GEMMs: `D = C + A @ B`, for each layout of A and B.

What holds for all four functions is written at `bf16_gemm_nt`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.explicit_sharding import explicit_mesh, gemm_over_mesh
from jax_deepgemm.gemm_arguments import checked_c, checked_matrix, checked_out
from jax_deepgemm.options import Options, current
from jax_deepgemm.primitives.bf16_gemm import bf16_gemm
from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder
from jax_deepgemm.primitives.varying import to_common_varying


def bf16_gemm_nt(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """Returns `c + a @ b.T` of bfloat16 operands, summed in float32.

    D[i, j] = c[i, j] + sum_k a[i, k] * b[j, k]

  Any size may be zero or no multiple of anything. On Hopper rows must begin at
  multiples of 16 bytes: an operand whose last dimension is no multiple of 8 is
  copied to pad it, and the result if n is no multiple of 8 (4 in float32).
  No layout is transposed first: the tensor cores read each as it lies.

  Gradients flow to a, b and c; those of a and b are BF16 GEMMs of the
  cotangent, rounded to bfloat16 if it is float32. `vmap` makes one launch.
  Under `shard_map` it computes the shard; under explicit and automatic sharding
  m, n and k stay sharded, and a sharded k costs one float32 psum.

  Args:
    a: bfloat16 `[m, k]`.
    b: bfloat16 `[n, k]`.
    c: `[m, n]` in `out_dtype`, added before the result is rounded; its memory
      becomes the result's if it is donated.
    out_dtype: bfloat16 or float32; by default c's, or bfloat16 without c.

  Returns:
    D, `[m, n]` in `out_dtype`.

  Raises:
    TypeError: the dtype of an argument is wrong.
    ValueError: a rank or shape is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper.
  """
  return bf16_gemm_of_layout("nt", a, b, c, out_dtype)


def bf16_gemm_nn(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """Returns `c + a @ b` of bfloat16 operands; see `bf16_gemm_nt`.

  Args:
    a: bfloat16 `[m, k]`.
    b: bfloat16 `[k, n]`.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `bf16_gemm_nt`.
  """
  return bf16_gemm_of_layout("nn", a, b, c, out_dtype)


def bf16_gemm_tn(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """Returns `c + a.T @ b` of bfloat16 operands; see `bf16_gemm_nt`.

  Args:
    a: bfloat16 `[k, m]`.
    b: bfloat16 `[k, n]`.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `bf16_gemm_nt`.
  """
  return bf16_gemm_of_layout("tn", a, b, c, out_dtype)


def bf16_gemm_tt(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """Returns `c + a.T @ b.T` of bfloat16 operands; see `bf16_gemm_nt`.

  Args:
    a: bfloat16 `[k, m]`.
    b: bfloat16 `[n, k]`.
    c: `[m, n]` in `out_dtype`, or None.
    out_dtype: as in `bf16_gemm_nt`.
  """
  return bf16_gemm_of_layout("tt", a, b, c, out_dtype)


@dataclasses.dataclass(frozen=True)
class _Params:
  """What a GEMM is told besides its operands.

  Attributes:
    out_dtype: dtype of the result.
    form: how the operands lie.
    options: in force at the call.
    memory: where the operands lie and the result shall.
  """

  out_dtype: jnp.dtype
  form: GemmForm
  options: Options
  memory: MemoryOrder


def bf16_gemm_of_layout(
  layout: str,
  a: Any,
  b: Any,
  c: Any,
  out_dtype: jax.typing.DTypeLike | None,
  memory: MemoryOrder = ROW_MAJOR,
) -> jax.Array:
  """Returns c + a @ b as `layout` says; checks what it is given."""
  form = GemmForm(1, a_k_first=layout[0] == "t", b_k_first=layout[1] == "n")
  a = checked_matrix("a", a, "m", form.a_k_first, ("bfloat16",))
  b = checked_matrix("b", b, "n", form.b_k_first, ("bfloat16",))
  m, k = form.of_a(a.shape)
  n, k_of_b = form.of_b(b.shape)
  if k != k_of_b:
    raise ValueError(f"a and b must have the same k, got {k} and {k_of_b}")
  dtype = checked_out(out_dtype, c)
  c = checked_c(c, (m, n), dtype)
  if 0 in (m, n, k):
    return jnp.zeros((m, n), dtype) if c is None else c
  params = _Params(dtype, form, current(), memory)
  mesh = explicit_mesh(a, b, c)
  if mesh is not None:
    return gemm_over_mesh(_multiply, mesh, a, b, c, params)
  return _multiply(a, b, c, params)


def _multiply(
  a: jax.Array, b: jax.Array, c: jax.Array | None, params: _Params
) -> jax.Array:
  """Returns one device's product."""
  a, b, c = to_common_varying((a, b, c))
  return bf16_gemm(
    a,
    b,
    c,
    out_dtype=params.out_dtype,
    a_mn_major=params.form.a_k_first,
    b_mn_major=params.form.b_k_first,
    options=params.options,
    memory=params.memory,
  )
