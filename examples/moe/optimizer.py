"""The optimizer."""

from typing import Any

import jax
import optax

from moe.config import TrainConfig


def make(config: TrainConfig) -> optax.GradientTransformation:
  """Returns AdamW with clipped gradients, a warm-up and a cosine."""
  schedule = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.learning_rate,
    warmup_steps=config.warmup_steps,
    decay_steps=config.num_steps,
    end_value=config.learning_rate / 10,
  )
  return optax.chain(
    optax.clip_by_global_norm(config.max_gradient_norm),
    optax.adamw(
      schedule,
      b1=0.9,
      b2=0.95,
      weight_decay=config.weight_decay,
      mask=_is_decayed,
    ),
  )


def _is_decayed(parameters: Any) -> Any:
  """Returns a tree that is False at the norms' weights."""
  return jax.tree_util.tree_map_with_path(
    lambda path, _: not path[-1].key.endswith("norm"), parameters
  )
