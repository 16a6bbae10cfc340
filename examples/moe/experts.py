"""A layer of experts, split over the mesh's expert axis."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from moe import permute, precision, router
from moe.config import ModelConfig


def mixture(
  x: jax.Array,
  layer: Mapping[str, jax.Array],
  config: ModelConfig,
  compute_dtype: jax.typing.DTypeLike,
) -> tuple[jax.Array, router.Routing]:
  """Returns `sum_i weights[i] * expert[ids[i]](x)` of each token.

  Args:
    x: `[t, d_model]` bfloat16, this device's tokens.
    layer: parameters of the layer; `w_gate`, `w_up` and `w_down` are those of
      this device's experts.
    config: the model.
    compute_dtype: of the experts.
  """
  routing = router.route(x, layer["router"], config.top_k)
  dispatched = permute.dispatch(x, routing.expert_ids, config.num_experts)
  rows = precision.expert_mlp(
    dispatched.tokens,
    layer["w_gate"],
    layer["w_up"],
    layer["w_down"],
    dispatched.group_sizes,
    compute_dtype,
  )
  y = permute.combine(rows, dispatched, routing.weights)
  return y.astype(jnp.bfloat16), routing
