"""What GEMMs with FP4 weights compute, in jax.numpy.

e4m3fn has all numbers of e2m1, so the fp8 references compute them: FP4 codes
become e4m3 codes, and packed scales float32.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.primitives import fp4_codes, reference
from jax_deepgemm.ue8m0 import unpack_ue8m0_from_int

GRAN_K = 32


def fp8_fp4_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike,
) -> jax.Array:
  """Returns c + sum_k (a * sfa)[g, m, k] * (b * sfb)[g, n, k].

  Args:
    a: `[g, m, k]` float8_e4m3fn.
    sfa: `[g, m, ceil(k / 128)]` float32.
    b: `[g, n, ceil(k / 2)]` int8.
    sfb: `[g, n, ceil(k / 128)]` int32.
    c: `[g, m, n]`, added before the only rounding to `out_dtype`.
    out_dtype: dtype of the result.

  Returns:
    `[g, m, n]` in `out_dtype`, for g, m, n, k > 0.
  """
  k = a.shape[-1]
  return reference.fp8_gemm(
    a,
    sfa,
    *as_fp8(b, sfb, k),
    c,
    out_dtype=out_dtype,
    recipe_a=(1, 128),
    recipe_b=(1, GRAN_K),
  )


def as_fp8(
  values: jax.Array, scales: jax.Array, k: int
) -> tuple[jax.Array, jax.Array]:
  """Returns an FP4 operand with packed scales as fp8, one scale per 1 x 32.

  Args:
    values: `[..., rows, ceil(k / 2)]` int8.
    scales: `[..., rows, ceil(k / 128)]` int32.
    k: columns.

  Returns:
    `[..., rows, k]` float8_e4m3fn and `[..., rows, ceil(k / 32)]` float32,
    where byte 255 is NaN.
  """
  codes = fp4_codes.decode_to_e4m3(values)[..., :k]
  return codes, unpacked_scales(scales, ceil_div(k, GRAN_K))


def unpacked_scales(packed: jax.Array, blocks: int) -> jax.Array:
  """Returns `[..., blocks]` float32 of packed scales; byte 255 is NaN."""
  scales = unpack_ue8m0_from_int(packed)[..., :blocks]
  return jnp.where(jnp.isinf(scales), np.float32(np.nan), scales)
