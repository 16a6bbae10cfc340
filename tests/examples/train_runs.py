"""Runs of examples/train_moe.py on the smallest model."""

import os
import pathlib
import subprocess
import sys

import jax

import train_moe
from moe import metrics
from tests.docs.pages import ROOT

_SMALLEST = ("--preset", "micro", "--log-every", "1")


def run(out: pathlib.Path, *arguments: str) -> list[dict]:
  """Returns the metrics of a run in this process."""
  everything = [*_SMALLEST, *arguments, "--out", str(out)]
  # Attention in jax.nn relies on implicit promotion.
  promotion = jax.numpy_dtype_promotion("standard")
  with promotion:
    assert train_moe.main(everything) == 0
  return metrics.read(out / metrics.FILE)


def start(out: pathlib.Path, *arguments: str) -> subprocess.Popen:
  """Returns a run that has begun, in a process of its own, on the CPU."""
  environment = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "PYTHONPATH": str(ROOT),
    # Runs of one program share it.
    "JAX_COMPILATION_CACHE_DIR": str(out.parent / "programs"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  }
  script = str(ROOT / "examples" / "train_moe.py")
  return subprocess.Popen(
    [sys.executable, script, *_SMALLEST, *arguments, "--out", str(out)],
    env=environment,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process: subprocess.Popen) -> None:
  """Waits for the end of a run, which must be a good one."""
  _, errors = process.communicate(timeout=300)
  assert process.returncode == 0, errors


def without_times(rows: list[dict]) -> list[dict]:
  """Returns metrics without what a clock says."""
  return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
