"""The Hopper K-grouped BF16 GEMM, which is not there yet."""

import jax

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.options import Options


def run(
  a: jax.Array,
  b: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  options: Options,
  device: Device,
) -> jax.Array:
  """Would return D_g = C_g + A_g B_g^T in float32, `[g, m, n]`.

  Raises:
    NotImplementedError: always.
  """
  del a, b, group_sizes, c, options, device
  raise NotImplementedError(
    "k_grouped_bf16_gemm has no Hopper kernel; options(implementation='auto')"
    " computes it with XLA's ragged dot"
  )
