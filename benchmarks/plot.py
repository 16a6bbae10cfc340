"""Draws docs/figures/*.png from results and shows them in the documents.

python -m benchmarks.plot
"""

import argparse
import importlib.util
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import (
  compare,
  dense_accumulate,
  panels,
  plot_grouped,
  results,
)
from benchmarks.compare import Comparison
from benchmarks.panels import Bar

_ROOT = pathlib.Path(__file__).parent.parent
_BEGIN = "<!-- figures: begin (written by python -m benchmarks.plot) -->"
_END = "<!-- figures: end -->"
_BEGIN_TABLE = (
  "<!-- m-grouped: begin (written by python -m benchmarks.plot) -->"
)
_END_TABLE = "<!-- m-grouped: end -->"


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m benchmarks.plot")
  default = results.RESULTS / "dense_fp8.json"
  parser.add_argument("--results", type=pathlib.Path, default=default)
  parser.add_argument("--baseline", type=pathlib.Path, default=results.BASELINE)
  parser.add_argument(
    "--readme", type=pathlib.Path, default=_ROOT / "README.md"
  )
  arguments = parser.parse_args(argv)
  if importlib.util.find_spec("matplotlib") is None:
    message = "error: this needs matplotlib: pip install matplotlib"
    print(message, file=sys.stderr)
    return 2
  document = results.read(arguments.results)
  baseline = results.read(arguments.baseline)
  both, _, _ = compare.compare(document["rows"], baseline["rows"])
  folder = arguments.readme.parent / "docs" / "figures"
  figure = folder / f"{arguments.results.stem}.png"
  draw(both, document["gpu"], figure)
  image = figure.relative_to(arguments.readme.parent).as_posix()
  text = section(both, document, baseline, image)
  text += _accumulate_line(arguments.results.parent)
  text += _grouped_section(arguments.results.parent, folder)
  write_section(arguments.readme, text)
  print(f"written: {figure} and the section of {arguments.readme}")
  table = plot_grouped.m_grouped_table(arguments.results.parent)
  if table is not None:
    page = arguments.readme.parent / "docs" / "performance.md"
    write_section(page, table, _BEGIN_TABLE, _END_TABLE)
    print(f"written: the table of {page}")
  return 0


def _accumulate_line(folder: pathlib.Path) -> str:
  """Returns the table's line of float32 accumulation, if it was measured."""
  path = folder / f"{dense_accumulate.NAME}.json"
  if not path.exists():
    return ""
  mean = dense_accumulate.mean_ratio(results.read(path)["rows"])
  return f"\n| dense FP8, scales 1 x 128 twice, added to float32 | {mean:.2f} |"


def _grouped_section(folder: pathlib.Path, figures: pathlib.Path) -> str:
  """Returns what follows the dense GEMM's table: lines of it, and a figure."""
  text = "".join(f"\n{line}" for line in plot_grouped.lines(folder))
  figure = figures / f"{plot_grouped.M_GROUPED}.png"
  if plot_grouped.draw_m_grouped(folder, figure):
    image = figure.relative_to(figures.parent.parent).as_posix()
    text += f"\n\n![Kernel time of m_grouped_fp8_gemm_nt]({image})"
  return text


def draw(
  comparisons: Sequence[Comparison], gpu: str, path: pathlib.Path
) -> None:
  """Writes one panel of bars for each m: microseconds, ours and DeepGEMM's."""
  bars: dict[str, list[Bar]] = {}
  for item in sorted(comparisons, key=lambda item: item.case[0]):
    m, n, k = item.case
    bar = Bar(f"{n} x {k}", item.us, item.baseline_us)
    bars.setdefault(f"m = {m} (n x k)", []).append(bar)
  title = f"fp8_gemm_nt, kernel time on {gpu}: shorter is better"
  panels.draw(bars, title, path)


def section(
  comparisons: Sequence[Comparison],
  document: dict[str, Any],
  baseline: dict[str, Any],
  image: str,
) -> str:
  """Returns the Markdown between the markers of README.md."""
  rows = [
    f"| dense FP8, {name} | {mean:.2f} |"
    for name, mean in compare.geometric_means(comparisons).items()
  ]
  return "\n".join(
    [
      f"![Kernel time of fp8_gemm_nt beside DeepGEMM's]({image})",
      "",
      f"{document['gpu']}, driver {document['driver']}, {document['compiler']},"
      f" jax {document['jax']}, commit {document['commit'][:12]},"
      f" {document['date'][:10]}; {document['method']}.",
      f"Baseline: {baseline.get('about') or baseline.get('method')}",
      "",
      "| cases | DeepGEMM's time / ours, geometric mean |",
      "|---|---|",
      *rows,
    ]
  )


def write_section(
  page: pathlib.Path, text: str, begin_mark: str = _BEGIN, end_mark: str = _END
) -> None:
  """Replaces what stands between the markers of `page`.

  Raises:
    ValueError: the markers are not there once each, in order.
  """
  before, begin, rest = page.read_text(encoding="utf-8").partition(begin_mark)
  _, end, after = rest.partition(end_mark)
  if not begin or not end:
    raise ValueError(f"{page} must hold the lines {begin_mark!r}, {end_mark!r}")
  page.write_text(
    f"{before}{begin_mark}\n{text}\n{end_mark}{after}", encoding="utf-8"
  )


if __name__ == "__main__":
  sys.exit(main())
