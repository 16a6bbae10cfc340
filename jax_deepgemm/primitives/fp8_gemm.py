"""The fp8 GEMM as a primitive."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.options import Options
from jax_deepgemm.primitives.fp8_gemm_lowering import LOWERING
from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder
from jax_deepgemm.primitives.scaled_gemm import make_primitives


def fp8_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike,
  recipe_a: tuple[int, int],
  recipe_b: tuple[int, int],
  options: Options,
  memory: MemoryOrder = ROW_MAJOR,
) -> jax.Array:
  """Returns c + sum_k (a * sfa)[g, m, k] * (b * sfb)[g, n, k].

  The group dimension may be absent, from all operands alike.

  Args:
    a: `[g, m, k]` float8_e4m3fn.
    sfa: `[g, ceil(m / gran_m), ceil(k / gran_k)]` float32.
    b: `[g, n, k]` float8_e4m3fn.
    sfb: `[g, ceil(n / gran_n), ceil(k / gran_k)]` float32.
    c: `[g, m, n]` in `out_dtype`, or None for zero.
    out_dtype: bfloat16 or float32.
    recipe_a: (gran_m, gran_k) of `sfa`.
    recipe_b: (gran_n, gran_k) of `sfb`.
    options: in force when the public function was called.
    memory: as in `bf16_gemm.bf16_gemm`.

  Returns:
    `[g, m, n]` in `out_dtype`; any size may be zero.
  """
  return _bind(
    (a, sfa, b, sfb) if c is None else (a, sfa, b, sfb, c),
    out_dtype=jnp.dtype(out_dtype),
    recipe_a=recipe_a,
    recipe_b=recipe_b,
    options=options,
    memory=memory,
  )


def form_of(
  *, recipe_a: tuple[int, int], recipe_b: tuple[int, int], **params: Any
) -> GemmForm:
  """Returns how the operands lie, from the primitive's parameters."""
  del params
  return GemmForm(arrays=2, recipe_a=recipe_a, recipe_b=recipe_b)


_bind = make_primitives(LOWERING, form_of)
