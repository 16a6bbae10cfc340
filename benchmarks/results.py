"""Files of results, cases and baselines: JSON, one row a line."""

import json
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from jax_deepgemm.heuristics.sm90_bf16_gemm import Bf16GemmProblem
from jax_deepgemm.testing import Samples

_FOLDER = pathlib.Path(__file__).parent
RESULTS = _FOLDER / "results"
CASES = _FOLDER / "cases"
BASELINE = _FOLDER / "baselines" / "deepgemm_h200.json"
ACCUMULATE_BASELINE = _FOLDER / "baselines" / "accumulate_deepgemm_h200.json"
K_GROUPED_BASELINE = _FOLDER / "baselines" / "k_grouped_deepgemm_h200.json"

Case = tuple[int, int, int]


class KGroupedCase(NamedTuple):
  """One product `[m, k_g] x [n, k_g]` for each group.

  Attributes:
    sizes: k_g, in tokens.
  """

  m: int
  n: int
  sizes: tuple[int, ...]

  @property
  def k(self) -> int:
    """What DeepGEMM counts: tokens of groups padded to multiples of 128."""
    return sum(-(-size // 128) * 128 for size in self.sizes)

  @property
  def k_padded(self) -> int:
    """Columns of the kernel's operands: enough for any distribution."""
    return (-(-sum(self.sizes) // 128) + len(self.sizes)) * 128


def read(path: pathlib.Path) -> dict[str, Any]:
  """Returns the document of a file; it has at least "rows"."""
  with path.open(encoding="utf-8") as file:
    return json.load(file)


def write(path: pathlib.Path, fields: dict[str, Any], rows: Iterable[Any]):
  """Writes `fields` and `rows`; readable, and a change of a row is one line."""
  head = json.dumps(fields, indent=1)[:-2]
  body = ",\n".join("  " + json.dumps(row) for row in rows)
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(f'{head},\n "rows": [\n{body}\n ]\n}}\n', encoding="utf-8")


def dense_cases() -> list[Case]:
  """Returns (m, n, k) of the dense FP8 benchmark."""
  document = read(_FOLDER / "cases" / "dense_fp8.json")
  return [case_of(row) for row in document["rows"]]


def bf16_problems() -> list[Bf16GemmProblem]:
  """Returns the problems of the dense BF16 benchmark."""
  document = read(_FOLDER / "cases" / "dense_bf16.json")
  return [
    Bf16GemmProblem(
      *case_of(row),
      a_mn_major=row["layout"][0] == "t",
      b_mn_major=row["layout"][1] == "n",
      float32_out=row["out_dtype"] == "float32",
      with_c=row["with_c"],
    )
    for row in document["rows"]
  ]


def k_grouped_cases() -> list[KGroupedCase]:
  """Returns the cases of the K-grouped FP8 benchmark."""
  document = read(_FOLDER / "cases" / "k_grouped_fp8.json")
  return [
    KGroupedCase(row["m"], row["n"], tuple(row["sizes"]))
    for row in document["rows"]
  ]


def case_of(row: dict[str, Any]) -> Case:
  """Returns (m, n, k) of a row, or of its "case"."""
  sizes = row.get("case", row)
  return sizes["m"], sizes["n"], sizes["k"]


def row(
  case: Case, times: Samples, config: dict[str, Any] | None, **more: Any
) -> dict[str, Any]:
  """Returns the row of one product: times in microseconds and TFLOP/s."""
  m, n, k = case
  return {
    "case": {"m": m, "n": n, "k": k},
    **times_of(times),
    "tflops": round(2 * m * n * k / times.median / 1e6, 2),
    **more,
    "config": config,
  }


def times_of(times: Samples) -> dict[str, float]:
  """Returns what a row says of its times, in microseconds."""
  return {
    "us_median": round(times.median, 2),
    "us_min": round(times.min, 2),
    "us_max": round(times.max, 2),
  }
