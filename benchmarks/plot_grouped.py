"""What the documents show of the grouped GEMMs, from files of results.

Their group sizes are random, so that cases are compared by TFLOP/s: DeepGEMM's
time is the one that its speed gives for our rows.
"""

import collections
import pathlib
import statistics
from typing import Any

from benchmarks import panels, results
from benchmarks.panels import Bar

M_GROUPED = "m_grouped_fp8"
_FAMILIES = {M_GROUPED: "m-grouped FP8", "k_grouped_fp8": "k-grouped FP8"}


def lines(folder: pathlib.Path) -> list[str]:
  """Returns a line of the README's table per family in `folder`, and kind."""
  found = []
  for stem, name in _FAMILIES.items():
    document = _read(folder, stem)
    groups = collections.defaultdict(list)
    for row in document["rows"] if document else ():
      groups[row["case"].get("kind")].append(row["ratio"])
    for kind, ratios in groups.items():
      label = f"{name}, {kind}" if kind else name
      found.append(f"| {label} | {statistics.geometric_mean(ratios):.2f} |")
  return found


def draw_m_grouped(folder: pathlib.Path, figure: pathlib.Path) -> bool:
  """Writes the figure of the m-grouped GEMM; False if there is no result."""
  document = _read(folder, M_GROUPED)
  if document is None:
    return False
  bars = collections.defaultdict(list)
  for row in document["rows"]:
    bars[row["case"]["kind"]].append(_bar(row))
  title = f"m_grouped_fp8_gemm_nt, kernel time on {document['gpu']}"
  panels.draw(bars, f"{title}: shorter is better", figure)
  return True


def m_grouped_table(folder: pathlib.Path) -> str | None:
  """Returns Markdown: a line per kind and groups, a column per n x k."""
  document = _read(folder, M_GROUPED)
  if document is None:
    return None
  rows = document["rows"]
  shapes = list(dict.fromkeys(_shape(row) for row in rows))
  cells: dict[str, dict[str, str]] = collections.defaultdict(dict)
  for row in rows:
    text = f"{row['us_median']:.0f} ({row['ratio']:.2f})"
    cells[f"{row['case']['kind']} {_groups(row)}"][_shape(row)] = text
  table = [
    f"| groups x rows | {' | '.join(shapes)} |",
    "|---" * (len(shapes) + 1) + "|",
  ]
  for name, of_shape in cells.items():
    columns = " | ".join(of_shape.get(shape, "") for shape in shapes)
    table.append(f"| {name} | {columns} |")
  origin = (
    f"{document['gpu']}, commit {document['commit'][:12]}: microseconds, and"
    " DeepGEMM's time over ours for the same number of rows."
  )
  return "\n".join([origin, "", *table])


def _bar(row: dict[str, Any]) -> Bar:
  label = f"{_groups(row)}: {_shape(row)}"
  return Bar(label, row["us_median"], row["us_median"] * row["ratio"])


def _groups(row: dict[str, Any]) -> str:
  return f"{row['case']['num_groups']} x {row['case']['expected_m']}"


def _shape(row: dict[str, Any]) -> str:
  return f"{row['case']['n']} x {row['case']['k']}"


def _read(folder: pathlib.Path, stem: str) -> dict[str, Any] | None:
  path = folder / f"{stem}.json"
  return results.read(path) if path.exists() else None
