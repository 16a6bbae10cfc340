"""A layer of routed experts, as a function of its parameters.

What the layers of Flax share: they hold the parameters, this computes.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.expert_parallel import ep_combine, ep_dispatch
from jax_deepgemm.moe_mlp import moe_mlp

Shape = tuple[int, ...]

EXPERTS_INIT = jax.nn.initializers.lecun_normal(batch_axis=0)
ROUTER_INIT = jax.nn.initializers.lecun_normal()
_SMALLEST_TOTAL = 1e-20


@dataclasses.dataclass(frozen=True)
class ExpertsConfig:
  """Everything static of a layer; the fields are those of the layers."""

  num_experts: int
  top_k: int
  hidden_features: int
  scores: Callable[[jax.Array], jax.Array]
  normalize_weights: bool
  compute_dtype: Any
  residuals: str
  axis_name: Any
  max_rows: int | None
  wire_dtype: Any

  def __post_init__(self) -> None:
    if not 1 <= self.top_k <= self.num_experts:
      raise ValueError(
        f"top_k must be from 1 to num_experts = {self.num_experts}, got"
        f" {self.top_k}"
      )

  @classmethod
  def of(cls, layer: Any) -> "ExpertsConfig":
    """Returns the configuration of a layer that has these attributes."""
    names = (field.name for field in dataclasses.fields(cls))
    return cls(**{name: getattr(layer, name) for name in names})

  def shapes(self, features: int) -> dict[str, Shape]:
    """Returns the parameters' names and shapes, for the experts at hand."""
    experts = self.num_experts // self._ranks()
    into = (experts, features, self.hidden_features)
    return {
      "router": (features, self.num_experts),
      "w_gate": into,
      "w_up": into,
      "w_down": (experts, self.hidden_features, features),
    }

  def _ranks(self) -> int:
    if self.axis_name is None:
      return 1
    try:
      return jax.lax.axis_size(self.axis_name)
    except NameError:
      raise ValueError(
        f"axis_name: {self.axis_name!r} is no axis of an enclosing"
        " jax.shard_map; call the layer inside one, or leave axis_name None"
      ) from None


def route(
  x: jax.Array, router: jax.Array, config: ExpertsConfig
) -> tuple[jax.Array, jax.Array]:
  """Returns float32 weights and int32 ids `[t, top_k]` of the experts chosen.

  Args:
    x: `[t, d]`.
    router: `[d, num_experts]`.
    config: of the layer.
  """
  logits = jnp.matmul(
    x.astype(jnp.float32),
    router.astype(jnp.float32),
    precision=jax.lax.Precision.HIGHEST,
  )
  weights, expert_ids = jax.lax.top_k(config.scores(logits), config.top_k)
  if config.normalize_weights:
    # Sigmoids of very negative logits are all zero.
    total = jnp.sum(weights, axis=-1, keepdims=True)
    weights = weights / jnp.maximum(total, _SMALLEST_TOTAL)
  return weights, expert_ids


def apply(
  x: jax.Array, params: dict[str, jax.Array], config: ExpertsConfig
) -> jax.Array:
  """Returns sum_c weights[i, c] * expert(expert_ids[i, c])(x[i]).

  Args:
    x: `[..., d]`; with axis_name, the tokens of this rank.
    params: of the shapes that `config.shapes` says; with axis_name, w_gate,
      w_up and w_down have this rank's experts alone.
    config: of the layer.
  """
  _check_shapes(params, config.shapes(x.shape[-1]))
  tokens = x.reshape(-1, x.shape[-1])
  weights, expert_ids = route(tokens, params["router"], config)
  if config.axis_name is None:
    y = _here(tokens, weights, expert_ids, params, config)
  else:
    y = _over_ranks(tokens, weights, expert_ids, params, config)
  return y.astype(x.dtype).reshape(x.shape)


def _check_shapes(
  params: dict[str, jax.Array], expected: dict[str, Shape]
) -> None:
  for name, shape in expected.items():
    if params[name].shape != shape:
      raise ValueError(
        f"{name} must have shape {shape}, the experts of this rank, got"
        f" {params[name].shape}"
      )


def _here(
  x: jax.Array,
  weights: jax.Array,
  expert_ids: jax.Array,
  params: dict[str, jax.Array],
  config: ExpertsConfig,
) -> jax.Array:
  """Returns the sum, all experts being on this device."""
  tokens, top_k = expert_ids.shape
  chosen = expert_ids.reshape(-1)
  order = jnp.argsort(chosen, stable=True)
  place = jnp.argsort(order)
  # A row for each choice; the gradient of the broadcast is a sum in order, that
  # of the permutation a gather: no additions whose order changes.
  rows = jnp.broadcast_to(x[:, None], (tokens, top_k, x.shape[1]))
  rows = _permuted(rows.reshape(-1, x.shape[1]), order, place)
  experts = jnp.arange(config.num_experts, dtype=chosen.dtype)
  group_sizes = jnp.sum(chosen[:, None] == experts, axis=0, dtype=jnp.int32)
  rows = _permuted(_mlp(rows, params, group_sizes, config), place, order)
  rows = rows.reshape(tokens, top_k, -1).astype(jnp.float32)
  return jnp.sum(rows * weights[..., None], axis=1)


def _over_ranks(
  x: jax.Array,
  weights: jax.Array,
  expert_ids: jax.Array,
  params: dict[str, jax.Array],
  config: ExpertsConfig,
) -> jax.Array:
  """Returns the sum, experts being spread over a mesh axis."""
  if x.dtype not in (jnp.bfloat16, jnp.float32):
    x = x.astype(jnp.float32)
  here = ep_dispatch(
    x,
    expert_ids,
    num_experts=config.num_experts,
    axis_name=config.axis_name,
    max_rows=config.max_rows,
    wire_dtype=config.wire_dtype,
  )
  rows = _mlp(here.tokens, params, here.group_sizes, config)
  # Gradients of rows travel both ways as those of ep_dispatch do.
  is_float32 = jnp.dtype(config.wire_dtype) == jnp.float32
  gradient_dtype = jnp.float32 if is_float32 else jnp.bfloat16
  return ep_combine(rows, here, weights, gradient_wire_dtype=gradient_dtype)


def _mlp(
  rows: jax.Array,
  params: dict[str, jax.Array],
  group_sizes: jax.Array,
  config: ExpertsConfig,
) -> jax.Array:
  return moe_mlp(
    rows,
    params["w_gate"],
    params["w_up"],
    params["w_down"],
    group_sizes,
    compute_dtype=config.compute_dtype,
    residuals=config.residuals,
  )


@jax.custom_vjp
def _permuted(
  rows: jax.Array, order: jax.Array, inverse: jax.Array
) -> jax.Array:
  """Returns rows[order]; the gradient is dy[inverse], and no scatter."""
  del inverse
  return rows.at[order].get(mode="promise_in_bounds", unique_indices=True)


def _permuted_fwd(
  rows: jax.Array, order: jax.Array, inverse: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return _permuted(rows, order, inverse), (order, inverse)


def _permuted_bwd(
  orders: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, None, None]:
  order, inverse = orders
  return _permuted(dy, inverse, order), None, None


_permuted.defvjp(_permuted_fwd, _permuted_bwd)
