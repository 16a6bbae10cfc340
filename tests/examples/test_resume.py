"""A run that is killed goes on as if nothing had happened."""

import random
import time

from moe import metrics
from tests.examples import train_runs

_ARGUMENTS = (
  *("--cpu-devices", "8", "--mesh", "data=2,expert=4"),
  *("--steps", "8", "--eval-every", "8", "--checkpoint-every", "2"),
)


def _wait_for_step(process, path, step):
  """Returns when a run has written the metrics of a step."""
  deadline = time.monotonic() + 300
  while time.monotonic() < deadline:
    if any(row["step"] >= step for row in metrics.read(path)):
      return
    assert process.poll() is None, process.communicate()[1]
    time.sleep(0.01)
  raise TimeoutError(f"no step {step} in {path}")


def test_a_killed_run_ends_with_the_losses_of_one_that_was_not(tmp_path):
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  train_runs.finish(train_runs.start(whole, *_ARGUMENTS))
  expected = train_runs.without_times(metrics.read(whole / metrics.FILE))
  assert [row["step"] for row in expected if "loss" in row] == [*range(1, 9)]

  # A checkpoint is written during the steps that follow, and the next waits for
  # it: from step 5 on there is one.
  step = random.randint(5, 7)
  process = train_runs.start(killed, *_ARGUMENTS)
  _wait_for_step(process, killed / metrics.FILE, step)
  process.kill()
  process.communicate()
  before = metrics.read(killed / metrics.FILE)
  assert len(before) < len(expected), "it ended before it was killed"

  train_runs.finish(train_runs.start(killed, *_ARGUMENTS))
  after = metrics.read(killed / metrics.FILE)
  assert train_runs.without_times(after) == expected
  # It did not begin anew: the first lines are those of before, times included.
  assert after[:2] == before[:2]
