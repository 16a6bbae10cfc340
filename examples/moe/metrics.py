"""Metrics of a run: one JSON object a line."""

import json
import pathlib
import statistics
from typing import Any

FILE = "metrics.jsonl"


class MetricsLog:
  """The file of metrics, written by the first process alone."""

  def __init__(self, folder: pathlib.Path, start: int):
    """Opens `metrics.jsonl` and drops what came after `start` steps.

    A run that was killed has written lines after its newest checkpoint. They
    are computed again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    kept = [row for row in read(path) if row["step"] <= start]
    # Renamed, so that a kill leaves one file or the other.
    new = path.with_suffix(".new")
    new.write_text("".join(_line(row) for row in kept), encoding="utf-8")
    new.replace(path)
    self._file = path.open("a", encoding="utf-8")

  def write(self, **row: Any) -> None:
    """Appends a line, which is on its way to the disk when this returns."""
    self._file.write(_line(row))
    self._file.flush()

  def close(self) -> None:
    """Closes the file."""
    self._file.close()


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the lines of a file of metrics; none if it is not there.

  The last line is left out if a kill has cut it.
  """
  if not path.exists():
    return []
  lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
  return [json.loads(line) for line in lines if line.endswith("\n")]


def losses(
  rows: list[dict[str, Any]], kind: str = "loss"
) -> tuple[list[int], list[float]]:
  """Returns steps and losses.

  Args:
    rows: of a file of metrics.
    kind: "loss" on the text of the step, or "validation_loss".
  """
  found = [(row["step"], row[kind]) for row in rows if kind in row]
  return [step for step, _ in found], [loss for _, loss in found]


def final_loss(rows: list[dict[str, Any]]) -> float:
  """Returns the last validation loss.

  Raises:
    ValueError: there is none.
  """
  _, found = losses(rows, "validation_loss")
  if not found:
    raise ValueError("the run has no validation loss yet")
  return found[-1]


def seconds_per_step(rows: list[dict[str, Any]]) -> float:
  """Returns the median time of a step."""
  return statistics.median(row["seconds"] for row in rows if "seconds" in row)


def _line(row: dict[str, Any]) -> str:
  return json.dumps(row) + "\n"
