"""The loss, and one step of training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from sparse_attention.config import TrainConfig
from sparse_attention.model import Model


class Losses(NamedTuple):
  """Means over the tokens of a batch, in nats.

  Attributes:
    byte: cross entropy of the next byte.
    index: KL divergence of the indexer's scores from attention.
  """

  byte: jax.Array
  index: jax.Array


def losses(model: Model, tokens: jax.Array) -> Losses:
  """Returns the losses on uint8 `[batch, sequence + 1]`."""
  out = model(tokens[:, :-1])
  byte = optax.softmax_cross_entropy_with_integer_labels(
    out.scores, tokens[:, 1:].astype(jnp.int32)
  )
  return Losses(byte.mean(), out.index_loss)


def optimizer(model: Model, config: TrainConfig) -> nnx.Optimizer:
  """Returns AdamW with clipped gradients, a warm-up and a cosine."""
  schedule = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.learning_rate,
    warmup_steps=max(config.num_steps // 10, 1),
    decay_steps=config.num_steps,
    end_value=config.learning_rate / 10,
  )
  transformation = optax.chain(
    optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=0.95)
  )
  return nnx.Optimizer(model, transformation, wrt=nnx.Param)


@nnx.jit(static_argnames="index_weight")
def train_step(
  model: Model,
  state: nnx.Optimizer,
  tokens: jax.Array,
  index_weight: float,
) -> Losses:
  """Changes the model and the optimizer; returns the losses before."""

  def total(model: Model) -> tuple[jax.Array, Losses]:
    found = losses(model, tokens)
    return found.byte + index_weight * found.index, found

  gradients, found = nnx.grad(total, has_aux=True)(model)
  state.update(model, gradients)
  return found


@nnx.jit
def measure(model: Model, tokens: jax.Array) -> Losses:
  """Returns the losses of a batch."""
  return losses(model, tokens)
