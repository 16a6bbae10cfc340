"""Trains on several meshes with several seeds and prints a table.

python examples/compare_meshes.py --meshes data=1 expert=4 --cpu-devices 4
"""

import argparse
import itertools
import pathlib
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from moe import arguments, metrics, runs


def main(argv: Sequence[str] | None = None) -> int:
  """Trains on each mesh with each seed; returns the exit code.

  Arguments that it does not know are those of train_moe.py.
  """
  parser = argparse.ArgumentParser(
    prog="python examples/compare_meshes.py",
    description=__doc__.split("\n")[0],
    epilog="Other arguments are passed on to train_moe.py.",
  )
  parser.add_argument("--meshes", nargs="+", required=True)
  parser.add_argument("--seeds", nargs="+", default=["0", "1", "2"])
  parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs"))
  given, others = parser.parse_known_args(argv)
  found = {
    (mesh, seed): runs.run(
      given.out / f"{mesh}_{seed}", ["--mesh", mesh, "--seed", seed, *others]
    )
    for mesh, seed in itertools.product(given.meshes, given.seeds)
  }
  train = arguments.parse(others).preset.train
  print(table(found, train.batch_size * train.sequence_length))
  return 0


def table(
  found: dict[tuple[str, str], list[dict[str, Any]]], tokens_per_step: int
) -> str:
  """Returns a row for each mesh: final losses by seed, their mean, speed.

  The losses of one seed on two meshes differ by rounding alone; those of two
  seeds on one mesh show what difference is noise.

  Args:
    found: metrics by mesh and seed.
    tokens_per_step: on all devices.
  """
  meshes, seeds = (
    list(dict.fromkeys(keys)) for keys in zip(*found, strict=True)
  )
  titles = ["mesh", *(f"loss, seed {seed}" for seed in seeds)]
  lines = [[*titles, "mean", "tokens/s"], ["---"] * (len(titles) + 2)]
  for mesh in meshes:
    rows = [found[mesh, seed] for seed in seeds]
    losses = [metrics.final_loss(run) for run in rows]
    seconds = statistics.median(metrics.seconds_per_step(run) for run in rows)
    numbers = [f"{loss:.4f}" for loss in (*losses, statistics.fmean(losses))]
    lines.append([mesh, *numbers, f"{tokens_per_step / seconds:,.0f}"])
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
  sys.exit(main())
