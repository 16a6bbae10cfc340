"""Configurations that were fastest when measured, by problem."""

import functools
import importlib.resources
import json

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
)
from jax_deepgemm.heuristics.swapped_tile import SwappedTile
from jax_deepgemm.heuristics.user_table import Key

FAMILY = "fp8_gemm"


def key_of(config: Sm90Fp8GemmConfig | Sm90Fp8GemmSwappedConfig) -> Key:
  """Returns what tells `config` from the others that are legal."""
  if isinstance(config, Sm90Fp8GemmSwappedConfig):
    return swapped_key(config)
  return (
    config.num_math_warpgroups,
    config.num_slabs,
    config.block_n,
    config.stage_k_blocks,
    config.cluster_m,
    config.cluster_n,
    config.num_store_slots,
    config.num_early_boxes,
  )


def swapped_key(config: SwappedTile) -> Key:
  """Returns the same of a configuration with swapped operands."""
  return (
    "swapped",
    config.num_math_warpgroups,
    config.stage_k_blocks,
    config.num_splits,
    config.ctas_per_sm,
    int(config.evict_first),
  )


def lookup(problem: Fp8GemmProblem, device: Device) -> Key | None:
  """Returns the key of the fastest measured configuration, or None.

  The table holds for full Hopper chips with 132 multiprocessors; it is made by
  benchmarks/sweep.py.
  """
  if not device.is_hopper or device.num_sms != 132:
    return None
  if problem.num_groups != 1 or problem.with_c:
    return None
  name = problem_name(problem)
  return table("tuned_sm90.json").get(name)


def problem_name(problem: Fp8GemmProblem) -> str:
  """Returns the name of `problem` in the tables."""
  kind = "1d1d" if problem.sfb_per_row else "1d2d"
  out = "f32" if problem.float32_out else "bf16"
  out += " c" if problem.with_c else ""
  out += f" {problem.num_groups} x" if problem.num_groups != 1 else ""
  return f"{kind} {out} {problem.m}x{problem.n}x{problem.k}"


@functools.cache
def table(file_name: str) -> dict[str, Key]:
  """Returns {name of a problem: key of its fastest configuration}."""
  path = importlib.resources.files("jax_deepgemm.heuristics").joinpath(
    file_name
  )
  rows = json.loads(path.read_text(encoding="utf-8"))["configs"]
  return {name: tuple(key) for name, key in rows.items()}
