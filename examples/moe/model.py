"""The language model: bytes in, scores of the next byte out."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from moe import attention, experts
from moe.config import ModelConfig
from moe.expert_memory import Buffer
from moe.mesh import BY_EXPERT, REPLICATED

_EXPERT_WEIGHTS = ("w_gate_up", "w_down")
# Standard deviation of the first weights.
_INITIAL_SCALE = 0.02


class Forward(NamedTuple):
  """What the model computes.

  Attributes:
    scores: float32 `[batch, sequence, vocabulary]`.
    balance_loss: mean over the layers.
    load: float32 `[layers, experts]`, part of the choices on an expert.
  """

  scores: jax.Array
  balance_loss: jax.Array
  load: jax.Array


def init(key: jax.Array, config: ModelConfig) -> dict[str, Any]:
  """Returns the first parameters, float32; those of layers are stacked."""
  d, f = config.d_model, config.expert_hidden
  num_layers, num_experts = config.num_layers, config.num_experts
  # What is added to the residual stream starts small: 2 * num_layers terms.
  last = _INITIAL_SCALE / (2 * num_layers) ** 0.5
  shapes = {
    "embedding": ((config.vocabulary, d), _INITIAL_SCALE),
    "head": ((d, config.vocabulary), _INITIAL_SCALE),
    "w_qkv": ((num_layers, d, 3 * d), _INITIAL_SCALE),
    "w_out": ((num_layers, d, d), last),
    "router": ((num_layers, d, num_experts), _INITIAL_SCALE),
    "w_gate_up": ((num_layers, num_experts, d, 2 * f), _INITIAL_SCALE),
    "w_down": ((num_layers, num_experts, f, d), last),
  }
  keys = jax.random.split(key, len(shapes))
  weights = {
    name: scale * jax.random.normal(key, shape)
    for key, (name, (shape, scale)) in zip(keys, shapes.items(), strict=True)
  }
  ends = {name: weights.pop(name) for name in ("embedding", "head")}
  norms = {
    name: jnp.ones((num_layers, d)) for name in ("attention_norm", "moe_norm")
  }
  return {**ends, "final_norm": jnp.ones(d), "layers": {**weights, **norms}}


def specs(config: ModelConfig) -> dict[str, Any]:
  """Returns where each parameter lives: a tree of partition specs."""

  def spec(path: tuple[Any, ...], _: Any) -> PartitionSpec:
    return BY_EXPERT if path[-1].key in _EXPERT_WEIGHTS else REPLICATED

  return jax.tree_util.tree_map_with_path(spec, abstract(config))


def abstract(config: ModelConfig) -> dict[str, Any]:
  """Returns the shapes of the parameters."""
  return jax.eval_shape(lambda: init(jax.random.key(0), config))


def rms_norm(x: jax.Array, weight: jax.Array, epsilon: float) -> jax.Array:
  """Returns `weight * x / sqrt(mean(x ** 2) + epsilon)` in x's dtype."""
  x32 = x.astype(jnp.float32)
  variance = jnp.mean(x32**2, axis=-1, keepdims=True)
  return (x32 * jax.lax.rsqrt(variance + epsilon) * weight).astype(x.dtype)


def forward(
  parameters: Any,
  tokens: jax.Array,
  config: ModelConfig,
  compute_dtype: jax.typing.DTypeLike,
  implementation: attention.Implementation,
  buffer: Buffer | None,
) -> Forward:
  """Returns the scores of each next byte; runs inside `jax.shard_map`.

  Args:
    parameters: as `init` makes them, of this device's experts alone.
    tokens: uint8 `[batch, sequence]`, this device's sequences.
    config: the model.
    compute_dtype: bfloat16 or float8_e4m3fn; see `precision`.
    implementation: of attention.
    buffer: of the experts; see `experts`.
  """

  def block(x: jax.Array, layer: Any) -> tuple[jax.Array, Any]:
    h = rms_norm(x, layer["attention_norm"], config.epsilon)
    x += attention.attend(
      h, layer["w_qkv"], layer["w_out"], config, compute_dtype, implementation
    )
    h = rms_norm(x, layer["moe_norm"], config.epsilon)
    rows = h.reshape(-1, config.d_model)
    y, routing = experts.mixture(rows, layer, config, compute_dtype, buffer)
    return x + y.reshape(x.shape), (routing.balance_loss, routing.load)

  # A product with ones and zeros, not an index: its gradient is a product too,
  # the same in every run, where a GPU adds up duplicates in any order.
  one_hot = jax.nn.one_hot(tokens, config.vocabulary, dtype=jnp.bfloat16)
  x = one_hot @ parameters["embedding"].astype(jnp.bfloat16)
  x, (balance_loss, load) = jax.lax.scan(block, x, parameters["layers"])
  x = rms_norm(x, parameters["final_norm"], config.epsilon)
  scores = jnp.matmul(
    x,
    parameters["head"].astype(jnp.bfloat16),
    preferred_element_type=jnp.float32,
  )
  return Forward(scores, balance_loss.mean(), load)
