"""The loss of a batch, on a mesh."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

from moe import attention, model
from moe.config import Preset
from moe.expert_memory import Buffer
from moe.mesh import BATCH, BATCH_AXES, REPLICATED


def make(
  preset: Preset,
  mesh: Mesh,
  compute_dtype: jax.typing.DTypeLike,
  implementation: attention.Implementation,
  buffer: Buffer | None,
) -> Callable[[Any, jax.Array], tuple[jax.Array, Any]]:
  """Returns a function of parameters and tokens.

  Its tokens are uint8 `[batch, sequence + 1]`. Its results are the loss that is
  minimised, and with it the mean cross entropy of a byte and the experts' loads
  `[layers, experts]`.

  Args:
    preset: the model and its training.
    mesh: where the parameters and tokens are.
    compute_dtype: see `precision`.
    implementation: of attention.
    buffer: of the experts; see `experts`.
  """
  specs = model.specs(preset.model)

  def local(parameters: Any, tokens: jax.Array) -> tuple[jax.Array, Any]:
    out = model.forward(
      jax.tree.map(_varying, specs, parameters),
      tokens[:, :-1],
      preset.model,
      compute_dtype,
      implementation,
      buffer,
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(
      out.scores, tokens[:, 1:].astype(jnp.int32)
    )
    loss = jax.lax.pmean(losses.mean(), BATCH_AXES)
    total = loss + preset.train.balance_weight * out.balance_loss
    return total, (loss, out.load)

  return jax.shard_map(
    local, mesh=mesh, in_specs=(specs, BATCH), out_specs=REPLICATED
  )


def _varying(spec: PartitionSpec, parameter: jax.Array) -> jax.Array:
  """Returns a parameter that counts as different on every device.

  So each device makes a gradient of its own, in float32, and they are added up
  once, after the loop over the layers. Otherwise they would be added up in
  bfloat16, once for each layer.
  """
  axes = tuple(name for name in BATCH_AXES if name not in spec)
  return jax.lax.pcast(parameter, axes, to="varying")
