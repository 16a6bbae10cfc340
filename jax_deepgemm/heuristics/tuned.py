"""Configurations that were fastest when measured, by problem."""

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Callable, Iterator
from typing import Any

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import Sm90Fp8GemmSplitConfig
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
)
from jax_deepgemm.heuristics.swapped_tile import SwappedTile
from jax_deepgemm.heuristics.user_table import Key

FAMILY = "fp8_gemm"
TABLE = "tuned_sm90.json"
_FIRST_CLASS = "h200"  # Its files have no suffix.
# Rows that a tile for few rows can have; above, tiles are slabs of 64 rows.
_FEW_ROWS = (8, 16, 24, 32, 48, 64, 96, 128)
_SLAB_ROWS = 64


def key_of(
  config: Sm90Fp8GemmConfig | Sm90Fp8GemmSwappedConfig | Sm90Fp8GemmSplitConfig,
) -> Key:
  """Returns what tells `config` from the others that are legal."""
  if isinstance(config, Sm90Fp8GemmSwappedConfig):
    return swapped_key(config)
  if isinstance(config, Sm90Fp8GemmSplitConfig):
    return (
      "split",
      config.num_math_warpgroups,
      config.block_n,
      config.stage_k_blocks,
      config.num_splits,
      config.ctas_per_sm,
      int(config.evict_first),
    )
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

  The tables are made by benchmarks/sweep.py and sweep_swapped.py.
  """
  if problem.num_groups != 1 or problem.with_c:
    return None
  return measured_alike(TABLE, problem, problem_name, device)


def problem_name(problem: Fp8GemmProblem) -> str:
  """Returns the name of `problem` in the tables."""
  kind = "1d1d" if problem.sfb_per_row else "1d2d"
  out = "f32" if problem.float32_out else "bf16"
  out += " c" if problem.with_c else ""
  out += f" {problem.num_groups} x" if problem.num_groups != 1 else ""
  return f"{kind} {out} {problem.m}x{problem.n}x{problem.k}"


def measured_alike(
  file_name: str,
  problem: Any,
  problem_name: Callable[[Any], str],
  device: Device,
) -> Key | None:
  """Returns the key of a dense problem, or of one whose tiles are the same.

  From 65 rows on that of 128 rows will do where fewer were not measured: the
  cost model's choice took 1.25 times as long in BF16 (65 x 4096 x 7168 on an
  H200). The table of FP8 has 96 rows, too.

  Args:
    file_name: of the table of an H200.
    problem: with m rows.
    problem_name: its name in the table.
    device: what it is wanted for.
  """
  more = (_FEW_ROWS[-1],) if _SLAB_ROWS < problem.m < _FEW_ROWS[-1] else ()
  for m in (*rows_alike(problem.m), *more):
    name = problem_name(dataclasses.replace(problem, m=m))
    key = measured(file_name, name, device)
    if key is not None:
      return key
  return None


def rows_alike(m: int) -> Iterator[int]:
  """Returns m, and then what else fills as many tiles of every size."""
  few = next((rows for rows in _FEW_ROWS if rows >= m), None)
  if few is None:
    most = -(-m // _SLAB_ROWS) * _SLAB_ROWS
    least = most - _SLAB_ROWS
  else:
    most = few
    least = max((rows for rows in _FEW_ROWS if rows < m), default=0)
  yield m
  yield from range(most, least, -1)


def measured(file_name: str, name: str, device: Device) -> Key | None:
  """Returns the key of a problem in a table of the device's class, or None."""
  file_name = file_of(file_name, device)
  return None if file_name is None else table(file_name).get(name)


def file_of(file_name: str, device: Device) -> str | None:
  """Returns the file of a table for the device's class, or None.

  Args:
    file_name: of the table of an H200.
    device: what it is wanted for.
  """
  measured_class = device.measured_class
  if measured_class in (None, _FIRST_CLASS):
    return measured_class and file_name
  return f"{file_name.removesuffix('.json')}_{measured_class}.json"


@functools.cache
def table(file_name: str) -> dict[str, Key]:
  """Returns {name of a problem: key of its fastest configuration}."""
  path = importlib.resources.files("jax_deepgemm.heuristics").joinpath(
    file_name
  )
  rows = json.loads(path.read_text(encoding="utf-8"))["configs"]
  return {name: tuple(key) for name, key in rows.items()}
