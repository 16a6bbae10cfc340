"""An nnx layer of routed experts."""

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

nnx = require("flax.nnx", 'pip install "jax_deepgemm[flax]"')


class NnxRoutedExperts(nnx.Module):
  """Returns sum_c weights[i, c] * expert(expert_ids[i, c])(x[i]).

  The layer of `LinenRoutedExperts`, with parameters of the same names and
  shapes. It is made outside of `jax.shard_map` with all experts; inside, with
  axis_name, its state has those of the rank.

  Args:
    features: d.
    rngs: for the parameters, stream "params".
  """

  def __init__(
    self,
    features: int,
    num_experts: int,
    top_k: int,
    hidden_features: int,
    *,
    scores: Callable[[jax.Array], jax.Array] = jax.nn.softmax,
    normalize_weights: bool = True,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
    compute_dtype: Any = jnp.float8_e4m3fn,
    residuals: str = "fp8",
    axis_name: Any = None,
    max_rows: int | None = None,
    wire_dtype: Any = jnp.bfloat16,
    kernel_init: Callable[..., Any] = EXPERTS_INIT,
    router_init: Callable[..., Any] = ROUTER_INIT,
    rngs: Any,
  ) -> None:
    self.dtype = dtype
    self.config = ExpertsConfig(
      num_experts=num_experts,
      top_k=top_k,
      hidden_features=hidden_features,
      scores=scores,
      normalize_weights=normalize_weights,
      compute_dtype=compute_dtype,
      residuals=residuals,
      axis_name=axis_name,
      max_rows=max_rows,
      wire_dtype=wire_dtype,
    )
    whole = dataclasses.replace(self.config, axis_name=None)
    for name, shape in whole.shapes(features).items():
      init = router_init if name == "router" else kernel_init
      value = init(rngs.params(), shape, param_dtype)
      setattr(self, name, nnx.Param(value))

  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns the layer's result for x `[..., d]`."""
    params = {
      "router": self.router[...],
      "w_gate": self.w_gate[...],
      "w_up": self.w_up[...],
      "w_down": self.w_down[...],
    }
    if self.dtype is not None:
      x = x.astype(self.dtype)
    return apply(x, params, self.config)
