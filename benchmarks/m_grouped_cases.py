"""Cases of the m-grouped benchmarks, and rows of their results."""

import pathlib
from typing import Any, Literal, NamedTuple

from benchmarks import results
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_problem import (
  MGroupedBf16GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.testing import Samples

_FOLDER = pathlib.Path(__file__).parent
CASES = _FOLDER / "cases" / "m_grouped_fp8.json"
BASELINE = _FOLDER / "baselines" / "m_grouped_deepgemm_h200.json"
ALIGNMENT = 128  # Of the first rows of contiguous groups.

Kind = Literal["contiguous", "ragged", "masked"]
Dtype = Literal["fp8", "bf16"]
KINDS: tuple[Kind, ...] = ("contiguous", "ragged", "masked")


class MGroupedCase(NamedTuple):
  """Rows of groups times the `[n, k]` of their group.

  Attributes:
    kind: of function.
    layout: "psum", "index", "ragged" or "masked".
    sizes: rows of each group.
    expected_m: what the sizes were drawn around.
    hint: what the function is told of that; None is nothing.
    max_m: rows that a group has room for, if masked.
    dtype: of A and B; D is bfloat16.
  """

  kind: Kind
  layout: str
  n: int
  k: int
  sizes: tuple[int, ...]
  expected_m: int
  hint: int | None = None
  max_m: int | None = None
  dtype: Dtype = "fp8"

  @property
  def rows(self) -> int:
    """Rows that belong to a group: those that count."""
    return sum(self.sizes)

  @property
  def a_shape(self) -> tuple[int, ...]:
    """Of A, rows of no group included."""
    if self.max_m is not None:
      return len(self.sizes), self.max_m, self.k
    m = self.rows if self.kind == "ragged" else self.padded_rows
    return m, self.k

  @property
  def padded_rows(self) -> int:
    """Rows of groups padded to the alignment."""
    return sum(-(-size // ALIGNMENT) * ALIGNMENT for size in self.sizes)

  @property
  def problem(self) -> MGroupedFp8GemmProblem | MGroupedBf16GemmProblem:
    """What the kernel's configuration is chosen for."""
    *lead, m, _ = self.a_shape
    num_groups = len(self.sizes)
    alignment = {"ragged": 1, "masked": m}.get(self.kind, ALIGNMENT)
    m *= lead[0] if lead else 1
    expected_m = self.hint or -(-m // num_groups)
    kind = MGroupedFp8GemmProblem
    if self.dtype == "bf16":
      kind = MGroupedBf16GemmProblem
    return kind(m, self.n, self.k, num_groups, expected_m, alignment)

  @property
  def num_bytes(self) -> int:
    """Bytes that must move: rows of groups, all of B, scales."""
    if self.dtype == "bf16":
      operands = self.rows + len(self.sizes) * self.n
      return 2 * (operands * self.k + self.rows * self.n)
    a = self.rows * (self.k + 4 * -(-self.k // 128))
    scales_of_b = 4 * -(-self.n // 128) * -(-self.k // 128)
    b = len(self.sizes) * (self.n * self.k + scales_of_b)
    return a + b + 2 * self.rows * self.n


def cases(
  kind: Kind, layout: str = "psum", dtype: Dtype = "fp8"
) -> list[MGroupedCase]:
  """Returns the cases of a kind; `layout` is that of contiguous groups."""
  stored = "masked" if kind == "masked" else "contiguous"
  return [
    MGroupedCase(
      kind,
      layout if kind == "contiguous" else kind,
      row["n"],
      row["k"],
      tuple(row["sizes"]),
      row["expected_m"],
      row.get("passed_expected_m"),
      row.get("max_m"),
      dtype,
    )
    for row in results.read(CASES)["rows"]
    if row["kind"] == stored
  ]


def row_of(
  case: MGroupedCase, times: Samples, config: dict[str, Any] | None, **more: Any
) -> dict[str, Any]:
  """Returns a row of results, compared with the baseline if there is one.

  The baseline has FP8 alone, and is compared with by TFLOP/s.
  """
  row = results.row((case.rows, case.n, case.k), times, config)
  row["case"] |= {
    "kind": case.kind,
    "layout": case.layout,
    "num_groups": len(case.sizes),
    "expected_m": case.expected_m,
  }
  config = row.pop("config")
  row["gbps"] = round(case.num_bytes / times.median / 1e3, 1)
  if case.dtype == "fp8":
    microseconds, tflops = baseline(case)
    row |= {
      "deepgemm_us": microseconds,
      "deepgemm_tflops": round(tflops, 2),
      "ratio": round(row["tflops"] / tflops, 4),
    }
  return row | more | {"config": config}


def baseline(case: MGroupedCase) -> tuple[float, float]:
  """Returns DeepGEMM's microseconds, and its TFLOP/s of rows of groups.

  Ragged groups are compared with the same ones padded, in psum layout.
  """
  wanted = {
    "kind": "masked" if case.kind == "masked" else "contiguous",
    "layout": "index" if case.layout == "index" else "psum",
    "num_groups": len(case.sizes),
    "expected_m": case.expected_m,
    "n": case.n,
    "k": case.k,
  }
  for row in results.read(BASELINE)["rows"]:
    if wanted.items() <= row["case"].items():
      # DeepGEMM counts the padding of contiguous groups.
      padded = case.rows if case.kind == "masked" else case.padded_rows
      return row["us_median"], row["tflops"] * case.rows / padded
  raise ValueError(f"the baseline has no {case}")
