"""Training: the loss falls, on every mesh and in FP8 the same way."""

import functools
import pathlib
import tempfile

import numpy as np
import pytest

from moe import metrics
from tests.examples import train_runs


@functools.cache
def _run(precision, mesh):
  with tempfile.TemporaryDirectory() as folder:
    return train_runs.run(
      pathlib.Path(folder) / "run",
      *("--precision", precision, "--mesh", mesh),
      *("--steps", "10", "--checkpoint-every", "0", "--eval-every", "10"),
    )


def test_the_loss_falls():
  rows = _run("bf16", "data=1")
  steps, losses = metrics.losses(rows)
  assert steps == list(range(1, 11))
  # A byte's worth of evenly spread guesses at first.
  assert losses[0] == pytest.approx(np.log(256), rel=0.01)
  assert losses[-1] < 4.2
  # No batch was trained on twice, so new text is no worse.
  assert metrics.final_loss(rows) == pytest.approx(losses[-1], rel=0.1)


@pytest.mark.parametrize("mesh", ["data=2,expert=2", "expert=4"])
def test_a_mesh_trains_like_one_device(mesh):
  one, many = _run("bf16", "data=1"), _run("bf16", mesh)
  assert many[0]["loss"] == pytest.approx(one[0]["loss"], rel=1e-5)
  # A sum over the wrong devices would be out by a factor.
  assert many[0]["gradient_norm"] == pytest.approx(
    one[0]["gradient_norm"], rel=2e-3
  )
  assert many[0]["busiest_expert"] == pytest.approx(one[0]["busiest_expert"])
  np.testing.assert_allclose(
    metrics.losses(many)[1], metrics.losses(one)[1], rtol=0.01
  )


def test_fp8_trains_like_bf16():
  bf16, fp8 = _run("bf16", "expert=4"), _run("fp8", "expert=4")
  losses = metrics.losses(fp8)[1]
  np.testing.assert_allclose(losses, metrics.losses(bf16)[1], rtol=0.03)
  assert metrics.final_loss(fp8) == pytest.approx(
    metrics.final_loss(bf16), rel=0.02
  )
  # It is another computation.
  assert fp8[0]["gradient_norm"] != pytest.approx(
    bf16[0]["gradient_norm"], rel=1e-4
  )
