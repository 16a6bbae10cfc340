"""Draws docs/figures/*.png from results and shows them in README.md.

python -m benchmarks.plot
"""

import argparse
import importlib.util
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import compare, results
from benchmarks.compare import Comparison

_ROOT = pathlib.Path(__file__).parent.parent
_BEGIN = "<!-- figures: begin (written by python -m benchmarks.plot) -->"
_END = "<!-- figures: end -->"
_OURS, _THEIRS = "#2a6f97", "#c9ada7"


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
  write_section(arguments.readme, section(both, document, baseline, image))
  print(f"written: {figure} and the section of {arguments.readme}")
  return 0


def draw(
  comparisons: Sequence[Comparison], gpu: str, path: pathlib.Path
) -> None:
  """Writes one panel of bars for each m: microseconds, ours and DeepGEMM's."""
  import matplotlib as mpl

  mpl.use("Agg")
  from matplotlib import pyplot as plt

  sizes = sorted({item.case[0] for item in comparisons})
  figure, panels = plt.subplots(
    1, len(sizes), figsize=(5 * len(sizes), 5), squeeze=False
  )
  for m, panel in zip(sizes, panels[0], strict=True):
    items = [item for item in comparisons if item.case[0] == m]
    _draw_panel(panel, m, items)
  panels[0][0].legend(loc="best", frameon=False)
  figure.suptitle(f"fp8_gemm_nt, kernel time on {gpu}: shorter is better")
  figure.tight_layout()
  path.parent.mkdir(parents=True, exist_ok=True)
  # Without the date and version that matplotlib adds, equal data give an
  # equal file.
  figure.savefig(path, dpi=110, metadata={"Software": None})
  plt.close(figure)


def _draw_panel(panel: Any, m: int, items: Sequence[Comparison]) -> None:
  rows = range(len(items))
  panel.barh([y - 0.2 for y in rows], [item.us for item in items], 0.4,
             color=_OURS, label="jax_deepgemm")  # fmt: skip
  panel.barh([y + 0.2 for y in rows], [item.baseline_us for item in items],
             0.4, color=_THEIRS, label="DeepGEMM")  # fmt: skip
  for y, item in zip(rows, items, strict=True):
    panel.annotate(
      f" {item.ratio:.2f} x",
      (max(item.us, item.baseline_us), y),
      va="center",
      fontsize=8,
    )
  panel.set_yticks(rows, [f"{item.case[1]} x {item.case[2]}" for item in items])
  panel.invert_yaxis()
  panel.margins(x=0.18)
  panel.spines[["top", "right"]].set_visible(False)
  panel.set_xlabel("us")
  panel.set_title(f"m = {m} (n x k)")


def section(
  comparisons: Sequence[Comparison],
  document: dict[str, Any],
  baseline: dict[str, Any],
  image: str,
) -> str:
  """Returns the Markdown between the markers of README.md."""
  rows = [
    f"| {name} | {mean:.2f} |"
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


def write_section(readme: pathlib.Path, text: str) -> None:
  """Replaces what stands between the markers of `readme`.

  Raises:
    ValueError: the markers are not there once each, in order.
  """
  before, begin, rest = readme.read_text(encoding="utf-8").partition(_BEGIN)
  _, end, after = rest.partition(_END)
  if not begin or not end:
    raise ValueError(f"{readme} must hold the lines {_BEGIN!r} and {_END!r}")
  readme.write_text(
    f"{before}{_BEGIN}\n{text}\n{_END}{after}", encoding="utf-8"
  )


if __name__ == "__main__":
  sys.exit(main())
