"""Trains a small mixture of experts in FP8 or BF16.

python examples/train_moe.py --precision fp8

docs/train_moe.md explains it; `moe/` beside this file has the parts.
"""

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
  loss,
  mesh,
  metrics,
  precision,
  report,
  train_step,
)
from moe.arguments import Arguments
from moe.errors import UsageError

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
  preset, num_steps = given.preset, given.preset.train.num_steps
  grid = mesh.make(given.mesh)
  text = corpus.read()
  shape = (preset.train.batch_size, preset.train.sequence_length + 1)
  identity = checkpoint.identity(
    preset, given.precision, given.seed, text.digest
  )
  checkpoints = checkpoint.Checkpoints(
    given.out / "checkpoints", given.checkpoint_every, identity
  )
  state, start = checkpoints.restore(train_step.init(preset, grid, given.seed))
  if start == num_steps:
    print(f"the run in {given.out} has ended")
    return

  compute_dtype = precision.COMPUTE_DTYPES[given.precision]
  how = (preset, grid, compute_dtype, devices.attention(given))
  # Compiled before the clock starts.
  example = jax.ShapeDtypeStruct(
    shape, "uint8", sharding=mesh.shardings(grid, mesh.BATCH)
  )
  step_once = train_step.make(*how).lower(state, example).compile()
  evaluate = make_evaluate(how, text, shape, grid)

  log = metrics.MetricsLog(given.out, start) if devices.is_first() else None
  reporter = report.Reporter(preset, start, log, given.log_every)
  for step in range(start, num_steps):
    tokens = batches.batch(text.train, shape, given.seed, step, grid)
    state, measured = step_once(state, tokens)
    reporter.add(measured)
    done = step + 1
    if done % given.eval_every == 0 or done == num_steps:
      reporter.flush()
      reporter.validation(evaluate(state))
    if checkpoints.is_due(done, num_steps):
      # First, so that the metrics have all that the checkpoint has.
      reporter.flush()
      checkpoints.save(state, done)
      reporter.restart_clock()
  reporter.close()
  checkpoints.close()


def make_evaluate(
  how: tuple[Any, ...],
  text: corpus.Corpus,
  shape: tuple[int, int],
  grid: Mesh,
) -> Callable[[train_step.TrainState], float]:
  """Returns a function from a state to its loss on validation text."""
  measure = jax.jit(loss.make(*how))

  def evaluate(state: train_step.TrainState) -> float:
    found = []
    for i in range(_VALIDATION_BATCHES):
      tokens = batches.batch(text.validation, shape, _VALIDATION_SEED, i, grid)
      found.append(measure(state.parameters, tokens)[1][0])
    return float(sum(jax.device_get(found))) / len(found)

  return evaluate


if __name__ == "__main__":
  sys.exit(main())
