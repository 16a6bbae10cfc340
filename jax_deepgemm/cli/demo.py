"""The command without a checkpoint: products of random matrices."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jax_deepgemm.cli.measurement import Measurement, measure, path_of
from jax_deepgemm.quantize import per_block_cast_to_fp8, per_token_cast_to_fp8

# (name, m, n, k) of DeepSeek-V3, decoding and training.
_MODEL_SHAPES = (
  ("attention, down", 128, 2112, 7168),
  ("attention, out", 128, 7168, 16384),
  ("expert, up", 128, 4096, 7168),
  ("attention, down", 4096, 2112, 7168),
  ("expert, up", 4096, 4096, 7168),
  ("expert, down", 4096, 7168, 2048),
)
# A sixty-fourth and less of the work: jax.numpy on a CPU decodes e4m3 slowly.
_SMALL_SHAPES = (
  ("attention, down", 16, 264, 896),
  ("attention, out", 64, 896, 1024),
  ("expert, up", 64, 512, 896),
  ("expert, down", 128, 896, 256),
  ("no multiple of 128", 100, 200, 300),
)

Shape = tuple[str, int, int, int]


def shapes() -> tuple[Shape, ...]:
  """Returns what to multiply here: small shapes where there is no kernel."""
  x = jnp.ones((128, 128), jnp.bfloat16)
  path = path_of(per_token_cast_to_fp8(x), per_block_cast_to_fp8(x))
  return _MODEL_SHAPES if path == "kernel" else _SMALL_SHAPES


def run(report_progress: Callable[[], None]) -> list[Measurement]:
  """Returns a measurement for each of `shapes()`.

  Args:
    report_progress: called after each.
  """
  rows = []
  for i, (name, m, n, k) in enumerate(shapes()):
    x_key, weight_key = jax.random.split(jax.random.key(i))
    x = jax.random.normal(x_key, (m, k), jnp.bfloat16)
    weight = jax.random.normal(weight_key, (n, k), jnp.bfloat16)
    rows.append(measure(name, x, weight))
    report_progress()
  return rows
