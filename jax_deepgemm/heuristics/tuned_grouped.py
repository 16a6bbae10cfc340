"""Grouped configurations that were fastest when measured, by problem.

How long groups are is not known, so problems about as long share an entry.
"""

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_problem import (
  MGroupedBf16GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.heuristics.tuned import measured
from jax_deepgemm.heuristics.user_table import Key, UserTable

M_GROUPED = "m_grouped_fp8_gemm"
M_GROUPED_BF16 = "m_grouped_bf16_gemm"
TABLE = "tuned_sm90_grouped.json"
_BOX_ROWS = 4  # What rows are counted in where TMA loads scales of A.


def bucket(size: int) -> int:
  """Returns the least of 1, 2, 3, 4, 6, 8, 12, 16, ... that is not less."""
  power = 1
  while power < size:
    if 2 * size <= 3 * power:  # Between two powers of two there is one more.
      return 3 * power // 2
    power *= 2
  return power


def m_grouped_keys(
  problem: MGroupedFp8GemmProblem, device: Device, user: UserTable
) -> tuple[Key | None, Key | None]:
  """Returns the user's key and the package's, each None if there is none."""
  return keys(M_GROUPED, m_grouped_name(problem), device, user)


def keys(
  family: str, name: str, device: Device, user: UserTable
) -> tuple[Key | None, Key | None]:
  """Returns the user's key and the package's, each None if there is none.

  The package's tables are made by benchmarks/sweep_grouped.py.
  """
  ours = measured(TABLE, package_name(family, name), device)
  return user.key(family, name, device), ours


def package_name(family: str, name: str) -> str:
  """Returns the name of a problem in the package's tables."""
  return f"{family} {name}"


def m_grouped_name(problem: MGroupedFp8GemmProblem) -> str:
  """Returns the name in the tables of problems about as long as `problem`.

  Groups that begin at any row have tiles of their own.
  """
  out = "f32" if problem.float32_out else "bf16"
  begins = "ragged" if problem.row_alignment % _BOX_ROWS else "aligned"
  rows = bucket(problem.expected_m)
  return (
    f"{begins} {out} {problem.num_groups} x {problem.n}x{problem.k},"
    f" expected_m to {rows}"
  )


def m_grouped_bf16_keys(
  problem: MGroupedBf16GemmProblem, device: Device, user: UserTable
) -> tuple[Key | None, Key | None]:
  """Returns the user's key and the package's, each None if there is none."""
  return keys(M_GROUPED_BF16, m_grouped_bf16_name(problem), device, user)


def m_grouped_bf16_name(problem: MGroupedBf16GemmProblem) -> str:
  """Returns the name in the tables of problems about as long as `problem`.

  Where groups begin changes nothing of their tiles.
  """
  layout = "nn" if problem.b_mn_major else "nt"
  out = "f32" if problem.float32_out else "bf16"
  rows = bucket(problem.expected_m)
  return (
    f"{layout} {out} {problem.num_groups} x {problem.n}x{problem.k},"
    f" expected_m to {rows}"
  )
