"""A layer of experts, split over the mesh's expert axis."""

from collections.abc import Mapping

import jax

import jax_deepgemm
from moe import precision, router
from moe.config import ModelConfig
from moe.mesh import EXPERT


def mixture(
  x: jax.Array,
  layer: Mapping[str, jax.Array],
  config: ModelConfig,
  compute_dtype: jax.typing.DTypeLike,
  buffer: jax_deepgemm.SymmBuffer | None,
) -> tuple[jax.Array, router.Routing]:
  """Returns `sum_i weights[i] * expert[ids[i]](x)` of each token.

  Tokens travel to the devices of their experts, in FP8 if the experts compute
  in it, and the results travel back. Along an axis of one device nothing
  travels: rows are sorted by expert. With a buffer all of that is one
  operation, which multiplies by the weights before the product with `w_down`
  and not after.

  Args:
    x: `[t, d_model]` bfloat16, this device's tokens.
    layer: parameters of the layer; `w_gate_up` and `w_down` are those of this
      device's experts.
    config: the model.
    compute_dtype: of the experts.
    buffer: memory for the one operation, or None for one step at a time.
  """
  routing = router.route(x, layer["router"], config.top_k)
  if buffer is not None:
    y = precision.mega_moe(
      x,
      routing.expert_ids,
      routing.weights,
      layer["w_gate_up"],
      layer["w_down"],
      buffer,
      compute_dtype,
    )
    return y, routing
  dispatched = jax_deepgemm.ep_dispatch(
    x,
    routing.expert_ids,
    num_experts=config.num_experts,
    axis_name=EXPERT,
    wire_dtype=compute_dtype,
  )
  rows = precision.expert_mlp(
    dispatched.tokens,
    layer["w_gate_up"],
    layer["w_down"],
    dispatched.group_sizes,
    compute_dtype,
  )
  return jax_deepgemm.ep_combine(rows, dispatched, routing.weights), routing
