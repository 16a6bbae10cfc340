"""What one device runs for the BF16 GEMM: a kernel or the jnp reference."""

from typing import Any

import jax

from jax_deepgemm.primitives import (
  reference,
  sm90_batched_k_bf16_gemm,
  sm90_bf16_gemm,
)
from jax_deepgemm.primitives.gemm_lowering import Lowering
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder


def _kernel(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  a_mn_major: bool,
  b_mn_major: bool,
  memory: MemoryOrder = ROW_MAJOR,
  **params: Any,
) -> jax.Array:
  num_groups, _, k = a.shape
  # A shard may hold parts of runs, and gradients contract something else.
  has_runs = 0 < memory.k_run < k and k % memory.k_run == 0
  if has_runs and num_groups == 1 and not (a_mn_major or b_mn_major):
    return sm90_batched_k_bf16_gemm.run(a, b, c, k_run=memory.k_run, **params)
  return sm90_bf16_gemm.run(
    a,
    b,
    c,
    a_mn_major=a_mn_major,
    b_mn_major=b_mn_major,
    memory=memory,
    **params,
  )


LOWERING = Lowering("bf16_gemm", _kernel, reference.bf16_gemm)
