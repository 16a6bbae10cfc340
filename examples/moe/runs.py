"""Runs of train_moe.py that are compared with each other."""

import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from moe import metrics

_SCRIPT = pathlib.Path(__file__).parent.parent / "train_moe.py"


def run(out: pathlib.Path, arguments: Sequence[str]) -> list[dict[str, Any]]:
  """Returns the metrics of a run, in a process of its own.

  Args:
    out: its folder. If it has a checkpoint, the run goes on from it.
    arguments: of train_moe.py, but `--out`.

  Raises:
    SystemExit: it failed, with this exit code, and has said why.
  """
  print(f"== {' '.join(arguments)}", flush=True)
  command = [sys.executable, str(_SCRIPT), *arguments, "--out", str(out)]
  code = subprocess.run(command, check=False).returncode
  if code:
    raise SystemExit(code)
  return metrics.read(out / metrics.FILE)
