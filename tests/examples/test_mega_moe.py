"""A layer of experts as one operation."""

import dataclasses

import numpy as np
import pytest

import train_moe
from moe import config, metrics
from tests.examples import train_runs

_MICRO = config.PRESETS["micro"]
# The smallest that the operation takes.
_WIDE = dataclasses.replace(
  _MICRO,
  model=dataclasses.replace(_MICRO.model, d_model=128, expert_hidden=128),
)
# BF16 is compiled in half the time; test_model.py has FP8.
_ARGUMENTS = (
  *("--mesh", "expert=2", "--precision", "bf16", "--steps", "3"),
  *("--eval-every", "3", "--checkpoint-every", "0"),
)


def test_it_trains_like_the_steps(tmp_path, monkeypatch):
  monkeypatch.setitem(config.PRESETS, "micro", _WIDE)
  monkeypatch.setattr(train_moe, "_VALIDATION_BATCHES", 1)
  steps = train_runs.run(tmp_path / "steps", *_ARGUMENTS)
  mega = train_runs.run(tmp_path / "mega", *_ARGUMENTS, "--moe", "mega")
  losses, expected = metrics.losses(mega)[1], metrics.losses(steps)[1]
  np.testing.assert_allclose(losses, expected, rtol=1e-3)
  # The routers are equal at first, and no sum over devices is out by a factor.
  assert mega[0]["busiest_expert"] == steps[0]["busiest_expert"]
  assert mega[0]["gradient_norm"] == pytest.approx(
    steps[0]["gradient_norm"], rel=1e-3
  )
  # Another order of roundings: had the flag no effect, these would be equal.
  assert losses != expected


def test_sizes_that_it_does_not_take_are_refused(tmp_path, capsys):
  argv = ["--preset", "micro", "--moe", "mega", "--out", str(tmp_path)]
  assert train_moe.main(argv) == 2
  message = capsys.readouterr().err
  assert "cannot have --moe mega: hidden: expected a multiple of 128" in message
