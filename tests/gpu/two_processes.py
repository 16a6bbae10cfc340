"""Programs of two processes under jax.distributed, on two GPUs or on one."""

import os
import pathlib
import socket
import subprocess
import sys

import jax

ROOT = pathlib.Path(__file__).parents[2]


def gpus() -> tuple[int, int]:
  """Returns the GPU of each process; CUDA's handles work on one GPU, too."""
  return (0, 1) if jax.local_device_count() > 1 else (0, 0)


def run(module: str, *arguments: str) -> None:
  """Runs `python -m module ADDRESS INDEX GPU *arguments` for both indices.

  Raises:
    AssertionError: a process fails, or does not say "done".
  """
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    address = f"localhost:{listener.getsockname()[1]}"
  # This process, too, holds memory of the GPU.
  environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
  processes = [
    subprocess.Popen(
      [sys.executable, "-m", module, address, str(i), str(gpu), *arguments],
      cwd=ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for i, gpu in enumerate(gpus())
  ]
  try:
    outputs = [process.communicate(timeout=240)[0] for process in processes]
  finally:
    for process in processes:
      process.kill()
  for process, output in zip(processes, outputs, strict=True):
    assert process.returncode == 0, output
    assert "done" in output
