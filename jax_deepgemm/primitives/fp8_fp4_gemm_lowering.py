"""What one device runs for the GEMM of fp8 with FP4."""

from typing import Any

import jax

from jax_deepgemm.primitives import fp4_reference, sm90_fp8_fp4_gemm
from jax_deepgemm.primitives.gemm_lowering import Lowering


def _kernel(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  c: jax.Array | None = None,
  **params: Any,
) -> jax.Array:
  return sm90_fp8_fp4_gemm.run(a, sfa, b, sfb, c, **params)


LOWERING = Lowering("fp8_fp4_gemm", _kernel, fp4_reference.fp8_fp4_gemm)
