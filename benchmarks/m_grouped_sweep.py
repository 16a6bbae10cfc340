"""Which configurations of the m-grouped FP8 GEMM a sweep times, and how."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.m_grouped_cases import ALIGNMENT, MGroupedCase
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.m_grouped_fp8_gemm import (
  choose_grouped,
  estimate_grouped_seconds,
  legal_grouped_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import Sm90Fp8GemmConfig
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import kernel_library, sm90_m_grouped_fp8_gemm

_LEAST_BLOCK_N = 64
_NUM_PRINTED = 5


def chosen(case: MGroupedCase) -> Sm90Fp8GemmConfig:
  """Returns what the heuristics choose."""
  return choose_grouped(case.problem, H200)


def configs_of(
  case: MGroupedCase, most: int | None = None
) -> list[Sm90Fp8GemmConfig]:
  """Returns one configuration per tile, K blocks in a stage and cluster.

  The first way to store that fits stands for the others; the chosen
  configuration is always there, as it is.

  Args:
    case: what is computed.
    most: keep those with the least estimates only.
  """
  found = {_form(config := chosen(case)): config}
  for config in legal_grouped_configs(case.problem, H200):
    if config.block_n >= _LEAST_BLOCK_N:
      found.setdefault(_form(config), config)
  return sorted(found.values(), key=functools.partial(_estimate, case))[:most]


def product_with(
  case: MGroupedCase, config: Sm90Fp8GemmConfig
) -> Callable[..., jax.Array]:
  """Returns the jitted kernel in one configuration, as `product` calls it."""

  def run(a: Any, b: Any, layout_array: jax.Array) -> jax.Array:
    choose = sm90_m_grouped_fp8_gemm.choose_grouped
    sm90_m_grouped_fp8_gemm.choose_grouped = lambda *args, **kwargs: config
    try:
      return sm90_m_grouped_fp8_gemm.run(
        *a,
        *b,
        layout_array,
        layout=case.layout,
        alignment=ALIGNMENT if case.kind == "contiguous" else 1,
        expected_m=case.hint,
        zero_padding=False,
        out_dtype=jnp.dtype(jnp.bfloat16),
        recipe_a=(1, 128),
        recipe_b=(128, 128),
        options=Options(),
        device=H200,
      )
    finally:
      sm90_m_grouped_fp8_gemm.choose_grouped = choose

  return jax.jit(run)


def compile_ahead(configs: Sequence[Sm90Fp8GemmConfig]) -> None:
  """Starts compiling, on the library's threads."""
  for config in configs:
    recipe = sm90_m_grouped_fp8_gemm.recipe(config)
    kernel_library.library().prefetch(recipe)


def report(rows: Sequence[dict[str, Any]]) -> str:
  """Returns the fastest rows of a case, and where the chosen one ranks."""
  ranked = sorted(rows, key=lambda row: row["us_median"])
  lines = [
    f"    {row['us_median']:8.2f} us (estimate {row['estimate_us']:.1f}): "
    + describe(row["config"])
    for row in ranked[:_NUM_PRINTED]
  ]
  for rank, row in enumerate(ranked):
    if row["chosen"]:
      loss = row["us_median"] / ranked[0]["us_median"]
      lines.append(
        f"    the chosen one is number {rank + 1} of {len(ranked)}, {loss:.3f}"
        f" of the fastest time: {describe(row['config'])}"
      )
  return "\n".join(lines)


def describe(config: dict[str, Any]) -> str:
  """Returns tile, stages, cluster and ways to store."""
  rows = 64 * config["num_math_warpgroups"] * config["num_slabs"]
  early = ""  # BF16 stores nothing before the next tile.
  if "num_early_boxes" in config:
    early = f"/{config['num_early_boxes']}"
  return (
    f"{rows} x {config['block_n']} by {config['num_math_warpgroups']}"
    f" warpgroups, {config['num_stages']} stages of {config['stage_k_blocks']},"
    f" cluster {config['cluster_m']} x {config['cluster_n']}, stores"
    f" {config['num_store_slots']}{early}"
  )


def estimate_us(case: MGroupedCase, config: Sm90Fp8GemmConfig) -> float:
  """Returns the model's estimate in microseconds."""
  return round(_estimate(case, config) * 1e6, 1)


def _estimate(case: MGroupedCase, config: Sm90Fp8GemmConfig) -> float:
  return estimate_grouped_seconds(case.problem, config, H200)


def _form(config: Sm90Fp8GemmConfig) -> tuple[int, ...]:
  return (
    config.num_math_warpgroups,
    config.num_slabs,
    config.block_n,
    config.stage_k_blocks,
    config.cluster_m,
    config.cluster_n,
  )
