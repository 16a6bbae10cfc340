"""Trains a small mixture of experts in FP8 or BF16.

python examples/train_moe.py --precision fp8

docs/train_moe.md explains it; `moe/` beside this file has the parts.
"""

import contextlib
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from moe import (
  arguments,
  batches,
  checkpoint,
  corpus,
  devices,
  expert_memory,
  loss,
  mesh,
  metrics,
  precision,
  report,
  train_step,
)
from moe.arguments import Arguments
from moe.errors import UsageError
from moe.expert_memory import Buffer

# Batches of validation text, the same ones for every seed.
_VALIDATION_BATCHES = 8
_VALIDATION_SEED = 0


def main(argv: Sequence[str] | None = None) -> int:
  """Trains; returns the exit code."""
  given = arguments.parse(argv)
  devices.start(given)
  try:
    devices.check(given)
    train(given)
  except UsageError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  return 0


def train(given: Arguments) -> None:
  """Trains from the newest checkpoint to the last step."""
  preset = given.preset
  grid = mesh.make(given.mesh)
  with memory(given, grid) as buffer:
    text = corpus.read()
    identity = checkpoint.identity(
      preset, given.precision, given.moe, given.seed, text.digest
    )
    folder = given.out / "checkpoints"
    opened = checkpoint.Checkpoints(folder, given.checkpoint_every, identity)
    # An error, too, waits until the checkpoint that is being written is there.
    with contextlib.closing(opened) as checkpoints:
      found = checkpoints.restore(train_step.abstract(preset, grid))
      state, start = found or (train_step.init(preset, grid, given.seed), 0)
      if start == preset.train.num_steps:
        print(f"the run in {given.out} has ended")
      else:
        run_steps(given, grid, text, checkpoints, state, start, buffer)


def memory(
  given: Arguments, grid: Mesh
) -> contextlib.AbstractContextManager[Buffer | None]:
  """Returns the experts' memory, which is freed at the end, or None."""
  if given.moe == "steps":
    return contextlib.nullcontext()
  compute_dtype = precision.COMPUTE_DTYPES[given.precision]
  return expert_memory.make(given.preset, grid, compute_dtype)


def run_steps(
  given: Arguments,
  grid: Mesh,
  text: corpus.Corpus,
  checkpoints: checkpoint.Checkpoints,
  state: train_step.TrainState,
  start: int,
  buffer: Buffer | None,
) -> None:
  """Trains, given the state after `start` steps."""
  preset, num_steps = given.preset, given.preset.train.num_steps
  shape = (preset.train.batch_size, preset.train.sequence_length + 1)
  compute_dtype = precision.COMPUTE_DTYPES[given.precision]
  how = (preset, grid, compute_dtype, devices.attention(given), buffer)
  # Compiled before the clock starts.
  tokens = batches.batch(text.train, shape, given.seed, start, grid)
  step_once = train_step.make(*how).lower(state, tokens).compile()
  measure = jax.jit(loss.make(*how)).lower(state.parameters, tokens).compile()

  log = metrics.MetricsLog(given.out, start) if devices.is_first() else None
  opened = report.Reporter(preset, start, log, given.log_every)
  with contextlib.closing(opened) as reporter:
    for step in range(start, num_steps):
      tokens = batches.batch(text.train, shape, given.seed, step, grid)
      state, measured = step_once(state, tokens)
      reporter.add(measured)
      done = step + 1
      if done % given.eval_every == 0 or done == num_steps:
        reporter.flush()
        reporter.validation(validate(measure, state, text, shape, grid))
      if checkpoints.is_due(done, num_steps):
        # First, so that the metrics have all that the checkpoint has.
        reporter.flush()
        expert_memory.check(buffer, state)
        checkpoints.save(state, done)
        reporter.restart_clock()
    expert_memory.check(buffer, state)


def validate(
  measure: Callable[..., Any],
  state: train_step.TrainState,
  text: corpus.Corpus,
  shape: tuple[int, int],
  grid: Mesh,
) -> float:
  """Returns the mean loss on some batches of validation text."""
  losses = []
  for i in range(_VALIDATION_BATCHES):
    tokens = batches.batch(text.validation, shape, _VALIDATION_SEED, i, grid)
    _, (value, _) = measure(state.parameters, tokens)
    losses.append(value)
  return statistics.fmean(float(x) for x in jax.device_get(losses))


if __name__ == "__main__":
  sys.exit(main())
