"""Trains a small language model with sparse attention, and lets it write.

python examples/train_sparse_attention.py

docs/sparse_attention.md explains it; `sparse_attention/` has the parts.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

import jax
import numpy as np
from flax import nnx
from tqdm import tqdm

from moe import batches, corpus
from moe.arguments import positive
from sparse_attention import generate, train_step
from sparse_attention.config import PRESETS, Preset
from sparse_attention.model import Model

_DESCRIPTION = """\
Trains a small language model of bytes on the source of Python's standard
library: each token attends to a few keys that an indexer chooses. Then the
model goes on with a piece of text that it has not seen.
"""
_VALIDATION_BATCHES = 4
_VALIDATION_SEED = 0
_LOG_EVERY = 10
_ALL = slice(None)


def main(argv: Sequence[str] | None = None) -> int:
  """Trains, measures and writes; returns the exit code."""
  given = parse(argv)
  preset = PRESETS[given.preset]
  chosen, steps = given.chosen, given.steps
  preset = Preset(
    dataclasses.replace(
      preset.model, num_chosen=chosen or preset.model.num_chosen
    ),
    dataclasses.replace(
      preset.train, num_steps=steps or preset.train.num_steps
    ),
  )
  model, _ = run(preset, given.seed)
  print(f"validation: {report(validate(model, preset))}")
  print(write(model, preset, given.write))
  return 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
  """Returns the arguments; exits with code 2 and a message if they are wrong.

  Args:
    argv: without the program's name; None takes those of the process.
  """
  parser = argparse.ArgumentParser(
    prog="python examples/train_sparse_attention.py", description=_DESCRIPTION
  )
  add = parser.add_argument
  add("--preset", choices=PRESETS, default="tiny", help="default: tiny")
  add("--steps", type=positive, help="default: the preset's")
  add("--chosen", type=positive, metavar="KEYS", help="that a token sees")
  add("--seed", type=int, default=0)
  add("--write", type=positive, default=64, metavar="BYTES", help="default: 64")
  return parser.parse_args(argv)


def run(preset: Preset, seed: int) -> tuple[Model, list[train_step.Losses]]:
  """Returns a trained model, and the losses of its steps."""
  model = Model(preset.model, rngs=nnx.Rngs(seed))
  state = train_step.optimizer(model, preset.train)
  shape = (preset.train.batch_size, preset.train.sequence_length + 1)
  text = corpus.read().train
  losses = []
  with tqdm(range(preset.train.num_steps), unit="step") as bar:
    for step in bar:
      tokens = batches.sequences(text, shape, seed, step, _ALL)
      losses.append(
        train_step.train_step(model, state, tokens, preset.train.index_weight)
      )
      if (step + 1) % _LOG_EVERY == 0:
        bar.set_postfix_str(report(losses[-1]))
  return model, jax.device_get(losses)


def validate(model: Model, preset: Preset) -> train_step.Losses:
  """Returns the mean losses on some batches of validation text."""
  shape = (preset.train.batch_size, preset.train.sequence_length + 1)
  text = corpus.read().validation
  found = [
    train_step.measure(
      model, batches.sequences(text, shape, _VALIDATION_SEED, i, _ALL)
    )
    for i in range(_VALIDATION_BATCHES)
  ]
  return jax.tree.map(lambda *x: np.mean(x), *jax.device_get(found))


def write(model: Model, preset: Preset, num_bytes: int) -> str:
  """Returns a piece of validation text and what the model adds to it."""
  length = preset.train.sequence_length // 2
  prompt = corpus.read().validation[None, :length]
  scores, kept = generate.prefill(model, prompt, length + num_bytes)
  tokens, _ = generate.decode(model, scores, kept, num_bytes)
  before, after = (
    bytes(x[0]).decode(errors="replace") for x in (prompt, np.asarray(tokens))
  )
  return f"--- given\n{before}\n--- written\n{after}"


def report(losses: train_step.Losses) -> str:
  """Returns losses as text."""
  return f"{losses.byte:.3f} nats a byte, indexer {losses.index:.3f}"


if __name__ == "__main__":
  sys.exit(main())
