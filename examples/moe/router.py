"""Which experts see a token."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from moe.mesh import BATCH_AXES


class Routing(NamedTuple):
  """The router's choice.

  Attributes:
    expert_ids: int32 `[t, top_k]`.
    weights: float32 `[t, top_k]`, of each expert's result; their sum is 1.
    load: float32 `[num_experts]`, part of all choices that fell on an expert.
    balance_loss: 1 if tokens are spread evenly, up to num_experts if not.
  """

  expert_ids: jax.Array
  weights: jax.Array
  load: jax.Array
  balance_loss: jax.Array


def route(x: jax.Array, w_router: jax.Array, top_k: int) -> Routing:
  """Returns the `top_k` experts of each token.

  The scores are computed in float32: bfloat16 would make near ties a matter of
  rounding. `load` and `balance_loss` are over the tokens of all devices, so
  that they don't depend on the mesh.

  Args:
    x: `[t, d]`, this device's tokens.
    w_router: `[d, num_experts]` float32.
    top_k: experts that see a token.
  """
  scores = jnp.matmul(
    x.astype(jnp.float32), w_router, precision=jax.lax.Precision.HIGHEST
  )
  probabilities = jax.nn.softmax(scores)
  chosen, expert_ids = jax.lax.top_k(probabilities, top_k)
  weights = chosen / chosen.sum(axis=-1, keepdims=True)

  num_experts = w_router.shape[-1]
  hits = jax.nn.one_hot(expert_ids, num_experts, dtype=jnp.float32)
  load = jax.lax.pmean(hits.mean(axis=(0, 1)), BATCH_AXES)
  mean = jax.lax.pmean(probabilities.mean(axis=0), BATCH_AXES)
  # The load is a count and has no gradient; the mean probability moves it.
  balance_loss = num_experts * (jax.lax.stop_gradient(load) * mean).sum()
  return Routing(expert_ids, weights, load, balance_loss)
