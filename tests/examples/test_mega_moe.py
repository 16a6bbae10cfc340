"""A layer of experts as one operation."""

import dataclasses

import numpy as np
import pytest

import train_moe
from moe import batches, config, metrics
from tests.examples import train_runs

_MICRO = config.PRESETS["micro"]
# The smallest that the operation takes.
_WIDE = dataclasses.replace(
  _MICRO,
  model=dataclasses.replace(_MICRO.model, d_model=128, expert_hidden=128),
)
_ARGUMENTS = (
  *("--mesh", "data=2,expert=2", "--precision", "fp8"),
  *("--steps", "4", "--eval-every", "4"),
)


def _break_in_last_step(text, shape, seed, step, mesh, *, batch=batches.batch):
  if (seed, step) == (0, 3):
    raise InterruptedError("broken")
  return batch(text, shape, seed, step, mesh)


def test_it_trains_like_the_steps_and_goes_on_after_a_break(
  tmp_path, monkeypatch
):
  monkeypatch.setitem(config.PRESETS, "micro", _WIDE)
  steps = train_runs.run(
    tmp_path / "steps", *_ARGUMENTS, "--checkpoint-every", "0"
  )
  mega = (*_ARGUMENTS, "--moe", "mega", "--checkpoint-every", "2")
  with monkeypatch.context() as patch:
    patch.setattr(batches, "batch", _break_in_last_step)
    with pytest.raises(InterruptedError):
      train_runs.run(tmp_path / "mega", *mega)
  before = metrics.read(tmp_path / "mega" / metrics.FILE)
  after = train_runs.run(tmp_path / "mega", *mega)
  # From the checkpoint after step 2, so that step 3 was computed twice.
  assert len(before) == 3
  assert after[:2] == before[:2]
  assert after[2]["seconds"] != before[2]["seconds"]
  assert train_runs.without_times(after[2:3]) == (
    train_runs.without_times(before[2:3])
  )
  losses, expected = metrics.losses(after)[1], metrics.losses(steps)[1]
  np.testing.assert_allclose(losses, expected, rtol=1e-3)
  print(losses, expected, after[0], steps[0])
