"""Figures of loss curves."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from moe import metrics

_COLORS = ("#2a6f97", "#d1495b", "#66a182", "#edae49", "#8d6a9f")
# The mean over so many steps is drawn over the single losses.
_WINDOW = 20


def draw(runs: Mapping[str, list[dict[str, Any]]], path: pathlib.Path) -> None:
  """Writes a figure with the losses of some runs: dots are of validation.

  Args:
    runs: rows of metrics by the runs' names.
    path: of the figure, whose folder is made.
  """
  import matplotlib as mpl

  mpl.use("Agg")
  from matplotlib import pyplot as plt

  figure, axes = plt.subplots(figsize=(7, 4.5))
  for i, (name, rows) in enumerate(runs.items()):
    steps, losses = metrics.losses(rows)
    color = _COLORS[i % len(_COLORS)]
    axes.plot(steps, losses, color=color, alpha=0.2, linewidth=0.8)
    axes.plot(steps, smooth(losses), color=color, label=name, linewidth=1.4)
    axes.plot(*metrics.losses(rows, "validation_loss"), "o", color=color)
  axes.set_xlabel("step")
  axes.set_ylabel("cross entropy of a byte, nats")
  axes.legend(frameon=False)
  for side in ("top", "right"):
    axes.spines[side].set_visible(False)
  figure.tight_layout()
  path.parent.mkdir(parents=True, exist_ok=True)
  # Without matplotlib's version in it, equal data give an equal file.
  figure.savefig(path, dpi=110, metadata={"Software": None})
  plt.close(figure)


def smooth(values: Sequence[float], window: int = _WINDOW) -> list[float]:
  """Returns at each place the mean of the last `window` values."""
  means = []
  for i in range(len(values)):
    last = values[max(0, i + 1 - window) : i + 1]
    means.append(sum(last) / len(last))
  return means
