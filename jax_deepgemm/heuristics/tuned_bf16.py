"""BF16 configurations that were fastest when measured, by problem."""

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
)
from jax_deepgemm.heuristics.tuned import measured_alike, swapped_key
from jax_deepgemm.heuristics.user_table import Key

FAMILY = "bf16_gemm"
TABLE = "tuned_sm90_bf16.json"


def key_of(config: Sm90Bf16GemmConfig | Sm90Bf16GemmSwappedConfig) -> Key:
  """Returns what tells `config` from the others that are legal."""
  if isinstance(config, Sm90Bf16GemmSwappedConfig):
    return swapped_key(config)
  return (
    config.num_math_warpgroups,
    config.num_slabs,
    config.block_n,
    config.stage_k_blocks,
    config.cluster_m,
    config.cluster_n,
    config.num_store_slots,
  )


def lookup(problem: Bf16GemmProblem, device: Device) -> Key | None:
  """Returns the key of the fastest measured configuration, or None.

  The tables are made by benchmarks/sweep_bf16.py.
  """
  if problem.num_groups != 1:
    return None
  return measured_alike(TABLE, problem, problem_name, device)


def problem_name(problem: Bf16GemmProblem) -> str:
  """Returns the name of `problem` in the tables."""
  layout = "t" if problem.a_mn_major else "n"
  layout += "n" if problem.b_mn_major else "t"
  out = "f32" if problem.float32_out else "bf16"
  out += " c" if problem.with_c else ""
  out += f" {problem.num_groups} x" if problem.num_groups != 1 else ""
  return f"{layout} {out} {problem.m}x{problem.n}x{problem.k}"
