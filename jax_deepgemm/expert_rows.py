"""Rows to their experts and back, each with the other as its derivative."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from jax_deepgemm.expert_exchange import exchange
from jax_deepgemm.expert_plan import ExpertPlan
from jax_deepgemm.expert_wire import Wire
from jax_deepgemm.scaled_array import ScaledArray

# Names for policies of jax.checkpoint that would rather save than send twice.
DISPATCHED = "ep_dispatched"
COMBINED = "ep_combined"


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def dispatch(x: jax.Array, plan: ExpertPlan, wire: Wire) -> jax.Array:
  """Returns `[max_rows, d]`, a row of x for each choice, sorted by expert.

  Its derivative sums, in float32, what came back for a row's choices.

  Args:
    x: `[t, d]`.
    plan: of the exchange.
    wire: how rows travel.
  """
  return _dispatch_forward(x, plan, wire)[0]


def dispatch_scaled(x: jax.Array, plan: ExpertPlan, wire: Wire) -> ScaledArray:
  """Returns the same as codes and scales, as they came, without derivative."""
  return wire.decode_scaled(_dispatched(x, plan, wire), x.shape[1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def combine(
  rows: jax.Array, plan: ExpertPlan, weights: jax.Array, wire: Wire
) -> jax.Array:
  """Returns y[i] = sum_c weights[i, c] * row of choice (i, c), `[t, d]`.

  Rows travel as they are; the sum is in float32. The derivative sends
  weights[i, c] * dy[i] to the experts.

  Args:
    rows: `[max_rows, d]`, sorted by expert.
    plan: of the exchange that brought the experts' inputs.
    weights: `[t, top_k]`.
    wire: how gradients of rows travel.
  """
  return _combine_forward(rows, plan, weights, wire)[0]


def _dispatched(x: jax.Array, plan: ExpertPlan, wire: Wire) -> jax.Array:
  """Returns rows of x at their experts, as they travel."""
  sent = in_order(wire.encode(x), plan)
  return checkpoint_name(to_experts(sent, plan), DISPATCHED)


def in_order(x: jax.Array, plan: ExpertPlan) -> jax.Array:
  """Returns the row of each choice's token, sorted by expert."""
  top_k = plan.places.shape[1]
  return jnp.take(x, plan.order // top_k, axis=0, mode="clip")


def to_experts(sent: jax.Array, plan: ExpertPlan) -> jax.Array:
  """Returns the `[max_rows, ...]` that arrive of the ranks' sorted choices."""
  return exchange(
    sent, plan.max_rows, plan.at_source, plan.at_expert, plan.axis_name
  )


def to_sources(rows: jax.Array, plan: ExpertPlan) -> jax.Array:
  """Returns `[t * top_k, ...]`, a row for each sorted choice of this rank."""
  return exchange(
    rows, plan.order.size, plan.at_expert, plan.at_source, plan.axis_name
  )


def of_choices(rows: jax.Array, plan: ExpertPlan) -> list[jax.Array]:
  """Returns a `[t, d]` float32 for each c, zero where there is no row."""
  return [
    jnp.where(
      is_kept[:, None],
      jnp.take(rows, places, axis=0, mode="clip").astype(jnp.float32),
      jnp.float32(0),
    )
    for places, is_kept in zip(plan.places.T, plan.is_kept.T, strict=True)
  ]


def _dispatch_forward(
  x: jax.Array, plan: ExpertPlan, wire: Wire
) -> tuple[jax.Array, Any]:
  arrived = wire.decode(_dispatched(x, plan, wire), x.shape[1])
  # No rows of x, which say its dtype.
  return arrived, (plan, x[:0])


def _dispatch_backward(
  wire: Wire, saved: Any, gradient: jax.Array
) -> tuple[jax.Array, None]:
  plan, empty = saved
  rows = to_sources(wire.back.encode(gradient), plan)
  total = functools.reduce(jnp.add, of_choices(rows, plan))
  return total.astype(empty.dtype), None


def _combine_forward(
  rows: jax.Array, plan: ExpertPlan, weights: jax.Array, wire: Wire
) -> tuple[jax.Array, Any]:
  del wire
  returned = checkpoint_name(to_sources(rows, plan), COMBINED)
  # Weights of choices without a row may be anything, too.
  kept = jnp.where(plan.is_kept, weights.astype(jnp.float32), jnp.float32(0))
  terms = [
    weight[:, None] * row
    for weight, row in zip(kept.T, of_choices(returned, plan), strict=True)
  ]
  total = functools.reduce(jnp.add, terms)
  return total.astype(rows.dtype), (returned, plan, weights)


def _combine_backward(
  wire: Wire, saved: Any, gradient: jax.Array
) -> tuple[jax.Array, None, jax.Array]:
  returned, plan, weights = saved
  gradient = gradient.astype(jnp.float32)
  weight = jnp.take(weights.reshape(-1), plan.order, mode="clip")
  rows = weight.astype(jnp.float32)[:, None] * in_order(gradient, plan)
  sent = wire.encode(rows.astype(wire.row_dtype))
  arrived = wire.decode(to_experts(sent, plan), gradient.shape[1])
  products = [
    (gradient * row).sum(axis=1) for row in of_choices(returned, plan)
  ]
  return (
    arrived.astype(returned.dtype),
    None,
    jnp.stack(products, axis=1).astype(weights.dtype),
  )


dispatch.defvjp(_dispatch_forward, _dispatch_backward)
combine.defvjp(_combine_forward, _combine_backward)
