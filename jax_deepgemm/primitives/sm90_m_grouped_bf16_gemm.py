"""The Hopper m-grouped BF16 GEMM as a custom call."""

from typing import Any

import jax

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.options import Options


def run(
  a: jax.Array,
  b: jax.Array,
  group_layout: jax.Array,
  *,
  layout: str,
  alignment: int,
  expected_m: int | None,
  zero_padding: bool,
  out_dtype: Any,
  options: Options,
  device: Device,
) -> jax.Array:
  """Raises NotImplementedError: there is no kernel yet."""
  raise NotImplementedError("m_grouped_bf16_gemm has no Hopper kernel yet")
