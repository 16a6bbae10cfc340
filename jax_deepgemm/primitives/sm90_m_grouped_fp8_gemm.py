"""The Hopper m-grouped FP8 GEMM as a custom call."""

from typing import Any

import jax

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.options import Options


def run(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_layout: jax.Array,
  *,
  layout: str,
  alignment: int,
  expected_m: int | None,
  zero_padding: bool,
  out_dtype: Any,
  recipe_a: tuple[int, int],
  recipe_b: tuple[int, int],
  options: Options,
  device: Device,
) -> jax.Array:
  """Raises NotImplementedError: there is no kernel yet."""
  raise NotImplementedError("m_grouped_fp8_gemm has no Hopper kernel yet")
