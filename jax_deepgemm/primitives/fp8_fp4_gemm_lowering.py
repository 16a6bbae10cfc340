"""What one device runs for the GEMM of fp8 with FP4."""

from typing import Any

import jax

from jax_deepgemm.primitives import fp4_reference
from jax_deepgemm.primitives.gemm_lowering import Lowering


def _kernel(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  c: jax.Array | None = None,
  **params: Any,
) -> jax.Array:
  del a, sfa, b, sfb, c, params
  raise NotImplementedError(
    "fp8_fp4_gemm has no Hopper kernel; pass what cast_back_from_fp4 returns"
    " to fp8_gemm_nt, which quantises it to fp8"
  )


LOWERING = Lowering("fp8_fp4_gemm", _kernel, fp4_reference.fp8_fp4_gemm)
