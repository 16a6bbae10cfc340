"""What one device runs for the BF16 GEMM: the kernel or the jnp reference."""

from typing import Any

import jax

from jax_deepgemm.primitives import reference, sm90_bf16_gemm
from jax_deepgemm.primitives.gemm_lowering import Lowering


def _kernel(
  a: jax.Array, b: jax.Array, c: jax.Array | None = None, **params: Any
) -> jax.Array:
  return sm90_bf16_gemm.run(a, b, c, **params)


LOWERING = Lowering("bf16_gemm", _kernel, reference.bf16_gemm)
