"""Compares results with a baseline, case by case.

python -m benchmarks.compare benchmarks/results/dense_fp8.json
"""

import argparse
import collections
import dataclasses
import pathlib
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import results
from benchmarks.results import Case


@dataclasses.dataclass(frozen=True)
class Comparison:
  """One case in both files; ratio > 1 says that the result is faster.

  Attributes:
    case: m, n, k.
    us: of the result.
    baseline_us: of the baseline.
    speedup: over XLA's FP8 dot, run beside the result; None if it was not.
    baseline_speedup: over cuBLASLt, run beside the baseline.
  """

  case: Case
  us: float
  baseline_us: float
  speedup: float | None = None
  baseline_speedup: float | None = None

  @property
  def ratio(self) -> float:
    return self.baseline_us / self.us

  @property
  def same_gpu_ratio(self) -> float | None:
    """The ratio as if both had run on one GPU; cuBLASLt ran beside each."""
    if self.speedup is None or self.baseline_speedup is None:
      return None
    return self.speedup / self.baseline_speedup


def compare(
  rows: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]
) -> tuple[list[Comparison], list[Case], list[Case]]:
  """Returns the cases in both, those of `rows` alone, of `baseline` alone."""
  ours = {results.case_of(row): row for row in rows}
  theirs = {results.case_of(row): row for row in baseline}
  both = [
    Comparison(
      case,
      row["us_median"],
      theirs[case]["us_median"],
      _speedup_over_dot(row),
      theirs[case].get("speedup_over_cublas"),
    )
    for case, row in ours.items()
    if case in theirs
  ]
  return (
    both,
    [case for case in ours if case not in theirs],
    [case for case in theirs if case not in ours],
  )


def _speedup_over_dot(row: dict[str, Any]) -> float | None:
  if "xla_fp8_dot_us" not in row:
    return None
  return row["xla_fp8_dot_us"] / row["us_median"]


def geometric_means(
  comparisons: Sequence[Comparison], name: str = "ratio"
) -> dict[str, float]:
  """Returns the mean of a ratio over the cases of each m, and over all."""
  groups = collections.defaultdict(list)
  for comparison in comparisons:
    ratio = getattr(comparison, name)
    if ratio is not None:
      groups[f"m = {comparison.case[0]}"].append(ratio)
  if groups:
    groups["all"] = [ratio for ratios in groups.values() for ratio in ratios]
  return {
    name: statistics.geometric_mean(ratios) for name, ratios in groups.items()
  }


def table(
  comparisons: Sequence[Comparison],
  ours: Sequence[Case],
  theirs: Sequence[Case],
) -> str:
  """Returns the text of the comparison."""
  lines = ["    m     n     k        us  baseline   ratio  same GPU"]
  for item in comparisons:
    m, n, k = item.case
    lines.append(
      f"{m:5} {n:5} {k:5} {item.us:9.2f} {item.baseline_us:9.2f}"
      f" {item.ratio:7.3f} {_number(item.same_gpu_ratio)}"
    )
  lines += ["", "geometric means of the ratios (above 1: faster)"]
  same_gpu = geometric_means(comparisons, "same_gpu_ratio")
  for name, mean in geometric_means(comparisons).items():
    lines.append(f"  {name:9} {mean:.3f} {_number(same_gpu.get(name))}")
  if same_gpu:
    lines.append(
      "same GPU: both divided by the speedup over cuBLASLt's FP8 without"
      " scales, which ran beside each"
    )
  lines += [f"not in the baseline: {case}" for case in ours]
  lines += [f"only in the baseline: {case}" for case in theirs]
  return "\n".join(lines)


def _number(ratio: float | None) -> str:
  return " " * 9 if ratio is None else f"{ratio:9.3f}"


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m benchmarks.compare")
  parser.add_argument("results", type=pathlib.Path)
  parser.add_argument("--baseline", type=pathlib.Path, default=results.BASELINE)
  parser.add_argument(
    "--fail-below",
    type=float,
    metavar="RATIO",
    help="exit with code 1 if any case's ratio is below, or none was compared",
  )
  arguments = parser.parse_args(argv)
  document = results.read(arguments.results)
  baseline = results.read(arguments.baseline)
  both, ours, theirs = compare(document["rows"], baseline["rows"])
  print(f"results:  {document['gpu']}, {document['commit']}")
  print(f"method:   {document['method']}")
  print(f"baseline: {baseline.get('about') or baseline.get('method')}\n")
  print(table(both, ours, theirs))
  if arguments.fail_below is None:
    return 0
  slow = [item for item in both if item.ratio < arguments.fail_below]
  return 1 if slow or not both else 0


if __name__ == "__main__":
  sys.exit(main())
