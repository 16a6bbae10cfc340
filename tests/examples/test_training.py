"""Training: the loss falls, on every mesh and in FP8 the same way."""

import functools
import pathlib
import socket
import tempfile

import numpy as np
import pytest

from moe import metrics
from tests.examples import train_runs

_STEPS = ("--steps", "10", "--eval-every", "10")


@functools.cache
def _run(precision, mesh):
  with tempfile.TemporaryDirectory() as folder:
    return train_runs.run(
      pathlib.Path(folder) / "run",
      *("--precision", precision, "--mesh", mesh),
      *(*_STEPS, "--checkpoint-every", "0"),
    )


def _free_port():
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    return listener.getsockname()[1]


def test_the_loss_falls():
  rows = _run("bf16", "data=1")
  steps, losses = metrics.losses(rows)
  assert steps == list(range(1, 11))
  # A byte's worth of evenly spread guesses at first.
  assert losses[0] == pytest.approx(np.log(256), rel=0.01)
  assert losses[-1] < 4.2
  # No batch was trained on twice, so new text is no worse.
  assert metrics.final_loss(rows) == pytest.approx(losses[-1], rel=0.1)


def test_a_mesh_of_two_processes_trains_like_one_device(tmp_path):
  coordinator = f"localhost:{_free_port()}"
  processes = [
    train_runs.start(
      tmp_path / "run",
      *("--cpu-devices", "2", "--mesh", "data=2,expert=2", *_STEPS),
      *("--checkpoint-every", "10", "--coordinator", coordinator),
      *("--num-processes", "2", "--process-id", str(i)),
    )
    for i in range(2)
  ]
  for process in processes:
    train_runs.finish(process)
  many = metrics.read(tmp_path / "run" / metrics.FILE)
  assert (tmp_path / "run" / "checkpoints" / "10").is_dir()

  one = _run("bf16", "data=1")
  assert [row["step"] for row in many] == [row["step"] for row in one]
  assert many[0]["loss"] == pytest.approx(one[0]["loss"], rel=1e-5)
  # A sum over the wrong devices would be out by a factor.
  assert many[0]["gradient_norm"] == pytest.approx(
    one[0]["gradient_norm"], rel=2e-3
  )
  assert many[0]["busiest_expert"] == pytest.approx(one[0]["busiest_expert"])
  np.testing.assert_allclose(
    metrics.losses(many)[1], metrics.losses(one)[1], rtol=0.01
  )


def test_fp8_on_four_ranks_of_experts_trains_like_bf16_on_one_device():
  bf16, fp8 = _run("bf16", "data=1"), _run("fp8", "expert=4")
  losses = metrics.losses(fp8)[1]
  np.testing.assert_allclose(losses, metrics.losses(bf16)[1], rtol=0.03)
  assert metrics.final_loss(fp8) == pytest.approx(
    metrics.final_loss(bf16), rel=0.02
  )
  assert fp8[0]["gradient_norm"] == pytest.approx(
    bf16[0]["gradient_norm"], rel=0.02
  )
  # Close, but another computation: two meshes are closer at first.
  assert fp8[0]["loss"] != pytest.approx(bf16[0]["loss"], rel=3e-5)
