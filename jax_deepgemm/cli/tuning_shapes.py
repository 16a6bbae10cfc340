"""Problems to tune, from fields that a person or a JSON file gives."""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from jax_deepgemm.alignment import align, ceil_div
from jax_deepgemm.cli import tuning_families
from jax_deepgemm.cli.errors import CommandLineError
from jax_deepgemm.cli.tuning import Task
from jax_deepgemm.cli.tuning_operands import m_grouped_rows
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_problem import (
  MGroupedBf16GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_problem import MAX_GROUPS
from jax_deepgemm.heuristics.sm90_bf16_gemm import Bf16GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  BLOCK_K,
  Fp8GemmProblem,
  k_multiple_of,
)
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  KGroupedFp8GemmProblem,
)
from jax_deepgemm.k_grouped_packing import padded_k

_ALIGNMENT = 128  # Of contiguous layouts; any that TMA can load has its tiles.
_MOST = 2**31 - 1


def fp8(
  m: int,
  n: int,
  k: int,
  sfb_per_row: bool = False,
  float32_out: bool = False,
  with_c: bool = False,
) -> Task:
  """Returns the task of an `fp8_gemm_*`."""
  problem = Fp8GemmProblem(
    m,
    n,
    align(k, k_multiple_of(m, n, k)),
    sfb_per_row=sfb_per_row,
    float32_out=float32_out,
    with_c=with_c,
  )
  return Task(tuning_families.FP8, problem)


def bf16(
  m: int,
  n: int,
  k: int,
  a_mn_major: bool = False,
  b_mn_major: bool = False,
  float32_out: bool = False,
  with_c: bool = False,
) -> Task:
  """Returns the task of a `bf16_gemm_*`; mn_major is t of a, n of b."""
  problem = Bf16GemmProblem(
    m,
    n,
    k,
    a_mn_major=a_mn_major,
    b_mn_major=b_mn_major,
    float32_out=float32_out,
    with_c=with_c,
  )
  return Task(tuning_families.BF16, problem)


def m_grouped_fp8(
  n: int,
  k: int,
  groups: int,
  expected_m: int,
  ragged: bool = False,
  float32_out: bool = False,
) -> Task:
  """Returns the task of an `m_grouped_fp8_gemm_*`."""
  rows = _row_groups(groups, expected_m, 1 if ragged else _ALIGNMENT)
  problem = MGroupedFp8GemmProblem(n=n, k=k, float32_out=float32_out, **rows)
  return Task(tuning_families.M_GROUPED_FP8, problem)


def m_grouped_bf16(
  n: int,
  k: int,
  groups: int,
  expected_m: int,
  b_mn_major: bool = False,
  float32_out: bool = False,
) -> Task:
  """Returns the task of an `m_grouped_bf16_gemm_*`; b_mn_major is n of b."""
  rows = _row_groups(groups, expected_m, _ALIGNMENT)
  problem = MGroupedBf16GemmProblem(
    n=n, k=k, float32_out=float32_out, b_mn_major=b_mn_major, **rows
  )
  return Task(tuning_families.M_GROUPED_BF16, problem)


def k_grouped_fp8(
  m: int, n: int, k: int, groups: int, with_c: bool = False
) -> Task:
  """Returns the task of a `k_grouped_fp8_gemm_*`; k is of all groups."""
  _check_groups(groups)
  num_k_blocks = ceil_div(padded_k(k, groups), BLOCK_K)
  problem = KGroupedFp8GemmProblem(m, n, num_k_blocks, groups, with_c)
  return Task(tuning_families.K_GROUPED_FP8, problem)


FAMILIES: Mapping[str, Callable[..., Task]] = {
  function.__name__: function
  for function in (fp8, bf16, m_grouped_fp8, m_grouped_bf16, k_grouped_fp8)
}


def from_file(path: str) -> list[Task]:
  """Returns the tasks of a JSON file, {family: [fields of a problem, ...]}.

  Raises:
    CommandLineError: the file cannot be read, or holds something else.
  """
  try:
    with open(path, encoding="utf-8") as file:
      document = json.load(file)
  except (OSError, ValueError) as error:
    raise CommandLineError(
      f"{path!r} cannot be read as a JSON file of shapes: {error}"
    ) from error
  if not isinstance(document, dict) or not set(document) <= set(FAMILIES):
    raise CommandLineError(
      f"{path!r} must hold a JSON object with keys of {', '.join(FAMILIES)}"
    )
  return [
    _task(f"{family}[{i}] in {path!r}", FAMILIES[family], row)
    for family, rows in document.items()
    for i, row in enumerate(rows if isinstance(rows, list) else [rows])
  ]


def _task(where: str, family: Callable[..., Task], row: Any) -> Task:
  parameters = inspect.signature(family).parameters
  if not isinstance(row, dict) or not set(row) <= set(parameters):
    raise CommandLineError(
      f"{where} must be an object with fields of {', '.join(parameters)}"
    )
  for name, parameter in parameters.items():
    if name not in row and parameter.default is parameter.empty:
      raise CommandLineError(f"{where} has no field {name!r}")
    if name in row and not _fits(row[name], parameter.annotation):
      kind = (
        "true or false"
        if parameter.annotation is bool
        else ("an integer above 0")
      )
      raise CommandLineError(
        f"{name} of {where} must be {kind}, got {row[name]!r}"
      )
  return family(**row)


def _fits(value: Any, annotation: type) -> bool:
  if annotation is bool or isinstance(value, bool):
    return annotation is bool and isinstance(value, bool)
  return isinstance(value, int) and 0 < value <= _MOST


def _row_groups(groups: int, expected_m: int, alignment: int) -> dict[str, int]:
  """Returns the fields of a problem that say how rows lie in groups."""
  _check_groups(groups)
  return {
    "m": m_grouped_rows(groups, expected_m, alignment),
    "num_groups": groups,
    "expected_m": expected_m,
    "row_alignment": alignment,
  }


def _check_groups(groups: int) -> None:
  if groups > MAX_GROUPS:
    raise CommandLineError(f"groups must be at most {MAX_GROUPS}, got {groups}")
