"""`moe_mlp` in bfloat16, differentiated by JAX."""

import dataclasses

import jax
import jax.numpy as jnp

from jax_deepgemm.grouped_gradient import GroupedParams, grouped_gemm
from jax_deepgemm.moe_arguments import MoeOperands
from jax_deepgemm.moe_gradient import MoeParams


def mlp(operands: MoeOperands, params: MoeParams) -> jax.Array:
  """Returns the layer's result; SwiGLU is computed in float32."""
  grouped = GroupedParams(
    out_dtype=jnp.dtype(jnp.bfloat16),
    recipe_a=None,
    recipe_b=None,
    layout="ragged",
    alignment=1,
    expected_m=params.expected_m,
    zero_padding=False,
    options=params.options,
    b_mn_major=True,
  )

  def product(
    rows: jax.Array, weight: jax.Array, params: GroupedParams = grouped
  ) -> jax.Array:
    weight = weight.astype(jnp.bfloat16)
    if 0 in (*rows.shape, *weight.shape):
      return jnp.zeros((rows.shape[0], weight.shape[2]), params.out_dtype)
    return grouped_gemm(rows, weight, operands.group_sizes, params)

  x = operands.x.astype(jnp.bfloat16)
  gate = product(x, operands.w_gate)
  if operands.w_up is None:
    gate, up = jnp.split(gate, 2, axis=-1)
  else:
    up = product(x, operands.w_up)
  last = dataclasses.replace(grouped, out_dtype=params.out_dtype)
  return product(_swiglu(gate, up), operands.w_down, last)


def _swiglu(gate: jax.Array, up: jax.Array) -> jax.Array:
  gate, up = gate.astype(jnp.float32), up.astype(jnp.float32)
  return (jax.nn.silu(gate) * up).astype(jnp.bfloat16)
