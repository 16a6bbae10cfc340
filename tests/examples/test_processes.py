"""Several processes train like one."""

import socket

import numpy as np

from moe import metrics
from tests.examples import train_runs


def _free_port():
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    return listener.getsockname()[1]


def test_two_processes_train_like_one(tmp_path):
  arguments = ("--mesh", "expert=2", "--steps", "3", "--eval-every", "3")
  coordinator = f"localhost:{_free_port()}"
  processes = [
    train_runs.start(
      tmp_path / "two",
      *(*arguments, "--cpu-devices", "1", "--coordinator", coordinator),
      *("--num-processes", "2", "--process-id", str(i)),
    )
    for i in range(2)
  ]
  for process in processes:
    train_runs.finish(process)
  two = metrics.read(tmp_path / "two" / metrics.FILE)
  one = train_runs.run(tmp_path / "one", *arguments)
  assert [r["step"] for r in two] == [r["step"] for r in one]
  np.testing.assert_allclose(
    metrics.losses(two)[1], metrics.losses(one)[1], rtol=1e-4
  )
  assert (tmp_path / "two" / "checkpoints" / "3").is_dir()
