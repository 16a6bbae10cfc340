"""One step of training."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from jax.sharding import Mesh, NamedSharding

from moe import attention, loss, model, optimizer
from moe.config import Preset
from moe.expert_memory import Buffer
from moe.mesh import REPLICATED, shardings


class TrainState(NamedTuple):
  """What a step changes and a checkpoint holds.

  Attributes:
    parameters: float32.
    optimizer: what the optimizer keeps.
  """

  parameters: Any
  optimizer: Any


class Metrics(NamedTuple):
  """What is reported of a step.

  Attributes:
    loss: mean cross entropy of a byte, in nats.
    gradient_norm: before it is clipped.
    busiest: the largest part of a layer's choices that fell on one expert.
  """

  loss: jax.Array
  gradient_norm: jax.Array
  busiest: jax.Array


def init(preset: Preset, mesh: Mesh, seed: int) -> TrainState:
  """Returns the first state, each array made where it lives."""

  def make() -> TrainState:
    parameters = model.init(jax.random.key(seed), preset.model)
    states = optimizer.make(preset.train).init(parameters)
    return TrainState(parameters, states)

  return jax.jit(make, out_shardings=state_shardings(preset, mesh))()


def abstract(preset: Preset, mesh: Mesh) -> TrainState:
  """Returns the shapes of a state, and where its arrays live."""
  parameters = model.abstract(preset.model)
  states = jax.eval_shape(optimizer.make(preset.train).init, parameters)
  return jax.tree.map(
    lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
    TrainState(parameters, states),
    state_shardings(preset, mesh),
  )


def state_shardings(preset: Preset, mesh: Mesh) -> TrainState:
  """Returns where the arrays of a state live."""
  specs = model.specs(preset.model)
  transformation = optimizer.make(preset.train)
  # What the optimizer keeps of a parameter lives where the parameter does; what
  # else it keeps are counts.
  states = optax.tree.map_params(
    transformation,
    lambda _, spec: spec,
    jax.eval_shape(transformation.init, model.abstract(preset.model)),
    specs,
    transform_non_params=lambda _: REPLICATED,
  )
  return shardings(mesh, TrainState(specs, states))


def make(
  preset: Preset,
  mesh: Mesh,
  compute_dtype: jax.typing.DTypeLike,
  implementation: attention.Implementation,
  buffer: Buffer | None,
) -> Callable[[TrainState, jax.Array], tuple[TrainState, Metrics]]:
  """Returns the step as a jitted function; it reuses its state's memory.

  The arguments are those of `loss.make`.
  """
  gradient = jax.value_and_grad(
    loss.make(preset, mesh, compute_dtype, implementation, buffer),
    has_aux=True,
  )
  update = optimizer.make(preset.train).update
  everywhere = NamedSharding(mesh, REPLICATED)

  @functools.partial(
    jax.jit,
    donate_argnums=0,
    out_shardings=(state_shardings(preset, mesh), everywhere),
  )
  def train_step(
    state: TrainState, tokens: jax.Array
  ) -> tuple[TrainState, Metrics]:
    (_, (value, load)), gradients = gradient(state.parameters, tokens)
    changes, states = update(gradients, state.optimizer, state.parameters)
    parameters = optax.apply_updates(state.parameters, changes)
    metrics = Metrics(value, optax.tree.norm(gradients), load.max())
    return TrainState(parameters, states), metrics

  return train_step
