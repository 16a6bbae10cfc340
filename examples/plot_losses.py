"""Draws the loss curves of runs of train_moe.py.

python examples/plot_losses.py runs/bf16 runs/fp8 -o losses.png
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from moe import metrics, plot


def main(argv: Sequence[str] | None = None) -> int:
  """Draws; returns the exit code."""
  parser = argparse.ArgumentParser(
    prog="python examples/plot_losses.py", description=__doc__.split("\n")[0]
  )
  parser.add_argument(
    "runs", nargs="+", type=pathlib.Path, help="folders, or files in them"
  )
  parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
  given = parser.parse_args(argv)
  paths = [p / metrics.FILE if p.is_dir() else p for p in given.runs]
  missing = [str(path) for path in paths if not path.exists()]
  if missing:
    print(f"error: no such file: {', '.join(missing)}", file=sys.stderr)
    return 2
  plot.draw({_name(p): metrics.read(p) for p in paths}, given.output)
  print(f"written: {given.output}")
  return 0


def _name(path: pathlib.Path) -> str:
  """Returns what a run is called: its folder, or its file."""
  return path.parent.name if path.name == metrics.FILE else path.stem


if __name__ == "__main__":
  sys.exit(main())
