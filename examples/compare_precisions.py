"""Trains in BF16 and in FP8 with the same seed and text, and compares.

python examples/compare_precisions.py --figure losses.png --preset tiny
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from moe import metrics, plot, runs

# Of the final losses, relative.
_BOUND = 0.005


def main(argv: Sequence[str] | None = None) -> int:
  """Trains twice; exit code 1 says that the losses differ by more than 0.5 %.

  Arguments that it does not know are those of train_moe.py.
  """
  parser = argparse.ArgumentParser(
    prog="python examples/compare_precisions.py",
    description=__doc__.split("\n")[0],
    epilog="Other arguments are passed on to train_moe.py.",
  )
  parser.add_argument("--figure", type=pathlib.Path, help="of both curves")
  parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs"))
  given, others = parser.parse_known_args(argv)
  found = {
    name: runs.run(given.out / name, ["--precision", name, *others])
    for name in ("bf16", "fp8")
  }
  if given.figure:
    plot.draw(found, given.figure)
    print(f"written: {given.figure}")
  for name, rows in found.items():
    loss, seconds = metrics.final_loss(rows), metrics.seconds_per_step(rows)
    print(f"{name}: validation loss {loss:.4f}, {seconds * 1e3:.1f} ms a step")
  bf16, fp8 = (metrics.final_loss(rows) for rows in found.values())
  difference = fp8 / bf16 - 1
  print(f"fp8 against bf16: {difference:+.2%}, bound {_BOUND:.1%}")
  return 0 if abs(difference) <= _BOUND else 1


if __name__ == "__main__":
  sys.exit(main())
