"""Figures of bars: our microseconds beside DeepGEMM's."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_OURS, _THEIRS = "#2a6f97", "#c9ada7"


class Bar(NamedTuple):
  """One case.

  Attributes:
    label: of the case.
    us: our time.
    baseline_us: DeepGEMM's time.
  """

  label: str
  us: float
  baseline_us: float


def draw(
  panels: Mapping[str, Sequence[Bar]], title: str, path: pathlib.Path
) -> None:
  """Writes a figure with a panel of bars under each title."""
  import matplotlib as mpl

  mpl.use("Agg")
  from matplotlib import pyplot as plt

  count = len(panels)
  figure, axes = plt.subplots(1, count, figsize=(5 * count, 5), squeeze=False)
  for (name, bars), panel in zip(panels.items(), axes[0], strict=True):
    _draw_panel(panel, name, bars)
  axes[0][0].legend(loc="best", frameon=False)
  figure.suptitle(title)
  figure.tight_layout()
  path.parent.mkdir(parents=True, exist_ok=True)
  # Without the date and version that matplotlib adds, equal data give an
  # equal file.
  figure.savefig(path, dpi=110, metadata={"Software": None})
  plt.close(figure)


def _draw_panel(panel: Any, title: str, bars: Sequence[Bar]) -> None:
  rows = range(len(bars))
  panel.barh([y - 0.2 for y in rows], [bar.us for bar in bars], 0.4,
             color=_OURS, label="jax_deepgemm")  # fmt: skip
  panel.barh([y + 0.2 for y in rows], [bar.baseline_us for bar in bars],
             0.4, color=_THEIRS, label="DeepGEMM")  # fmt: skip
  for y, bar in zip(rows, bars, strict=True):
    panel.annotate(
      f" {bar.baseline_us / bar.us:.2f} x",
      (max(bar.us, bar.baseline_us), y),
      va="center",
      fontsize=8,
    )
  panel.set_yticks(rows, [bar.label for bar in bars])
  panel.invert_yaxis()
  panel.margins(x=0.18)
  panel.spines[["top", "right"]].set_visible(False)
  panel.set_xlabel("us")
  panel.set_title(title)
