"""Pairs of the benchmark of cliffs, and what a shape must take at least."""

import math
import pathlib
from typing import Any, NamedTuple

from benchmarks import results
from jax_deepgemm.heuristics.device import Device

CASES = pathlib.Path(__file__).parent / "cases" / "cliffs.json"
_SLAB_ROWS = 64  # What one wgmma multiplies, at least.
_K_BLOCK = {"fp8": 128, "bf16": 64}
_TENSOR_RATE = {"fp8": 1979e12, "bf16": 989e12}  # Of a Hopper GPU's datasheet.
_FIXED_US = 2.5  # Start, first load, last store: docs/performance.md.
_STRIDE = 37  # Spreads large groups over the others; prime, so it meets all.


class Shape(NamedTuple):
  """One product.

  Attributes:
    family: "fp8", "bf16", "m_grouped_" of either "_ragged" or "_masked", or
      "k_grouped_fp8".
    m: rows of A, of all groups.
    k: of all groups, if k_grouped.
    spread: how rows or k are shared out among the groups.
  """

  family: str
  m: int
  n: int
  k: int
  groups: int = 1
  spread: str = "even"

  @property
  def dtype(self) -> str:
    """Of A and B: "fp8" or "bf16"."""
    return "bf16" if "bf16" in self.family else "fp8"

  @property
  def sizes(self) -> tuple[int, ...]:
    """Rows, or k, of each group."""
    total = self.k if self.family.startswith("k_grouped") else self.m
    return group_sizes(total, self.groups, self.spread)


class Pair(NamedTuple):
  """A shape and its good neighbour."""

  note: str
  shape: Shape
  beside: Shape


def pairs(only: str = "") -> list[Pair]:
  """Returns the pairs whose family or note contains `only`."""
  return [
    Pair(
      row["note"],
      Shape(row["family"], **row["shape"]),
      Shape(row["family"], **row["beside"]),
    )
    for row in results.read(CASES)["rows"]
    if only in f"{row['family']}: {row['note']}"
  ]


def group_sizes(total: int, groups: int, spread: str) -> tuple[int, ...]:
  """Returns sizes that sum up to `total`."""
  if spread == "zipf":
    weights = [1 / (1 + i * _STRIDE % groups) for i in range(groups)]
  elif spread == "half":
    weights = [float(i % 2) for i in range(groups)]
  elif spread == "single":
    weights = [float(i == groups // 2) for i in range(groups)]
  elif spread == "even":
    weights = [1.0] * groups
  else:
    raise ValueError(f"no spread is called {spread!r}")
  sum_of_weights = sum(weights)
  sizes = [math.floor(total * x / sum_of_weights) for x in weights]
  sizes[weights.index(max(weights))] += total - sum(sizes)
  return tuple(sizes)


def floor_us(shape: Shape, device: Device) -> float:
  """Returns microseconds that no kernel beats on `device`.

  Rows of a group count in whole slabs and K in whole blocks: what is multiplied
  beyond the shape is arithmetic, not a cliff.
  """
  compute = 2 * _multiplied(shape) / _TENSOR_RATE[shape.dtype]
  memory = _bytes(shape) / device.memory_bandwidth
  return max(compute, memory) * 1e6 + _FIXED_US


def _multiplied(shape: Shape) -> int:
  """Returns products of elements, without what tiles of N add."""
  block = _K_BLOCK[shape.dtype]
  if shape.family.startswith("k_grouped"):
    k = sum(_align(size, block) for size in shape.sizes)
    return shape.m * shape.n * k
  m = sum(_align(size, _SLAB_ROWS) for size in shape.sizes)
  return m * shape.n * _align(shape.k, block)


def _bytes(shape: Shape) -> int:
  """Returns bytes of operands and result that are needed."""
  element = 2 if shape.dtype == "bf16" else 1
  if shape.family.startswith("k_grouped"):
    operands = (shape.m + shape.n) * shape.k * element
    return operands + 4 * shape.groups * shape.m * shape.n
  weights = sum(size > 0 for size in shape.sizes) * shape.n
  return element * (shape.m + weights) * shape.k + 2 * shape.m * shape.n


def _align(size: int, multiple: int) -> int:
  return -(-size // multiple) * multiple


def fields(shape: Shape) -> dict[str, Any]:
  """Returns what a row of results says of a shape."""
  described = shape._asdict()
  if shape.groups == 1:
    del described["groups"], described["spread"]
  return described
