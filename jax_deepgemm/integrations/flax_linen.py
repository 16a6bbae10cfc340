"""A linen layer of routed experts."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.integrations.requirement import require
from jax_deepgemm.integrations.routed_experts import (
  EXPERTS_INIT,
  ROUTER_INIT,
  ExpertsConfig,
  apply,
)

linen = require("flax.linen", 'pip install "jax_deepgemm[flax]"')


class LinenRoutedExperts(linen.Module):
  """Returns sum_c weights[i, c] * expert(expert_ids[i, c])(x[i]).

  The router is computed in float32: the top_k largest of scores(x @ router). An
  expert is `(silu(x @ w_gate) * (x @ w_up)) @ w_down`, all of them together
  `jax_deepgemm.moe_mlp`. Parameters, in param_dtype: "router" `[d, e]`,
  "w_gate" and "w_up" `[e, d, f]`, "w_down" `[e, f, d]`.

  With axis_name a call is for the inside of `jax.shard_map`: x has the tokens
  of this rank, the experts' weights are its `[e / ranks, ...]`, router is
  whole, and rows travel by `ep_dispatch` and `ep_combine`. `init` is for the
  outside, and makes all experts.

  Attributes:
    num_experts: e.
    top_k: experts of a token.
    hidden_features: f.
    scores: logits `[t, e]` to scores.
    normalize_weights: the top_k scores are divided by their sum.
    dtype: x is converted to it, by default none.
    param_dtype: of the parameters.
    compute_dtype: of the products of experts, float8_e4m3fn or bfloat16.
    residuals: as in `moe_mlp`.
    axis_name: mesh axis that experts are spread over, or None.
    max_rows: as in `ep_dispatch`.
    wire_dtype: as in `ep_dispatch`; float8_e4m3fn halves what is sent, and
      rounds rows twice.
    kernel_init: of w_gate, w_up and w_down.
    router_init: of router.

  Raises:
    ValueError: a size is wrong, or the call is not inside that shard_map.
  """

  num_experts: int
  top_k: int
  hidden_features: int
  scores: Callable[[jax.Array], jax.Array] = jax.nn.softmax
  normalize_weights: bool = True
  dtype: Any = None
  param_dtype: Any = jnp.float32
  compute_dtype: Any = jnp.float8_e4m3fn
  residuals: str = "fp8"
  axis_name: Any = None
  max_rows: int | None = None
  wire_dtype: Any = jnp.bfloat16
  kernel_init: Callable[..., Any] = EXPERTS_INIT
  router_init: Callable[..., Any] = ROUTER_INIT

  @linen.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns the layer's result for x `[..., d]`."""
    config = ExpertsConfig.of(self)
    if self.is_initializing():
      config = dataclasses.replace(config, axis_name=None)
    params = {
      name: self.param(
        name,
        self.router_init if name == "router" else self.kernel_init,
        shape,
        self.param_dtype,
      )
      for name, shape in config.shapes(x.shape[-1]).items()
    }
    if self.dtype is not None:
      x = x.astype(self.dtype)
    return apply(x, params, config)
