"""Compares results with a baseline, case by case.

python -m benchmarks.compare benchmarks/results/dense_fp8.json
"""

import argparse
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
  """One case in both files; ratio > 1 says that the result is faster."""

  case: Case
  us: float
  baseline_us: float

  @property
  def ratio(self) -> float:
    return self.baseline_us / self.us


def compare(
  rows: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]
) -> tuple[list[Comparison], list[Case], list[Case]]:
  """Returns the cases in both, those of `rows` alone, of `baseline` alone."""
  times = {results.case_of(row): row["us_median"] for row in rows}
  others = {results.case_of(row): row["us_median"] for row in baseline}
  both = [
    Comparison(c, us, others[c]) for c, us in times.items() if c in others
  ]
  return (
    both,
    [case for case in times if case not in others],
    [case for case in others if case not in times],
  )


def geometric_means(comparisons: Sequence[Comparison]) -> dict[str, float]:
  """Returns the mean ratio of the cases of each m, and of all."""
  groups = {}
  for comparison in comparisons:
    groups.setdefault(f"m = {comparison.case[0]}", []).append(comparison.ratio)
  if comparisons:
    groups["all"] = [comparison.ratio for comparison in comparisons]
  return {
    name: statistics.geometric_mean(ratios) for name, ratios in groups.items()
  }


def table(
  comparisons: Sequence[Comparison],
  ours: Sequence[Case],
  theirs: Sequence[Case],
) -> str:
  """Returns the text of the comparison."""
  lines = ["    m     n     k        us  baseline   ratio"]
  for item in comparisons:
    m, n, k = item.case
    lines.append(
      f"{m:5} {n:5} {k:5} {item.us:9.2f} {item.baseline_us:9.2f}"
      f" {item.ratio:7.3f}"
    )
  lines += ["", "geometric means of the ratios (above 1: faster)"]
  for name, mean in geometric_means(comparisons).items():
    lines.append(f"  {name:9} {mean:.3f}")
  lines += [f"not in the baseline: {case}" for case in ours]
  lines += [f"only in the baseline: {case}" for case in theirs]
  return "\n".join(lines)


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
