"""What one device runs for the fp8 GEMM: the kernel or the jnp reference."""

from typing import Any

import jax

from jax_deepgemm.primitives import reference, sm90_fp8_gemm
from jax_deepgemm.primitives.gemm_lowering import Lowering


def _kernel(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  c: jax.Array | None = None,
  **params: Any,
) -> jax.Array:
  return sm90_fp8_gemm.run(a, sfa, b, sfb, c, **params)


LOWERING = Lowering("fp8_gemm", _kernel, reference.fp8_gemm)
