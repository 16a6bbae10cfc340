"""FP4 configurations that were fastest when measured, by problem."""

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  Fp8Fp4GemmProblem,
  Sm90Fp8Fp4GemmConfig,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
)
from jax_deepgemm.heuristics.tuned import key_of as fp8_key
from jax_deepgemm.heuristics.tuned import measured_alike, swapped_key
from jax_deepgemm.heuristics.user_table import Key

TABLE = "tuned_sm90_fp4.json"


def key_of(config: Sm90Fp8Fp4GemmConfig | Sm90Fp8Fp4GemmSwappedConfig) -> Key:
  """Returns what tells `config` from the others that are legal."""
  if isinstance(config, Sm90Fp8Fp4GemmSwappedConfig):
    return swapped_key(config)
  return fp8_key(config)


def lookup(problem: Fp8Fp4GemmProblem, device: Device) -> Key | None:
  """Returns the key of the fastest measured configuration, or None.

  The tables are made by benchmarks/sweep_fp4.py.
  """
  if problem.num_groups != 1 or problem.with_c:
    return None
  return measured_alike(TABLE, problem, problem_name, device)


def problem_name(problem: Fp8Fp4GemmProblem) -> str:
  """Returns the name of `problem` in the tables."""
  out = "f32" if problem.float32_out else "bf16"
  return f"nt {out} {problem.m}x{problem.n}x{problem.k}"
