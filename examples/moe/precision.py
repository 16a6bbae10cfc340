"""The one place that decides between FP8 and BF16.

In FP8 run the products that hold nearly all of the work: the projections of
attention and the experts, forward and backward. As in DeepSeek-V3 the
embedding, the router, the norms, attention itself and the last product stay in
bfloat16 or float32.
"""

import jax
import jax.numpy as jnp

import jax_deepgemm

COMPUTE_DTYPES = {"bf16": jnp.bfloat16, "fp8": jnp.float8_e4m3fn}


def dense(
  x: jax.Array, weight: jax.Array, compute_dtype: jax.typing.DTypeLike
) -> jax.Array:
  """Returns `x @ weight` in bfloat16.

  Args:
    x: `[..., k]` bfloat16.
    weight: `[k, n]`, float32.
    compute_dtype: a value of `COMPUTE_DTYPES`.
  """
  last_with_first = (((x.ndim - 1,), (0,)), ((), ()))
  if compute_dtype == jnp.bfloat16:
    return jax.lax.dot_general(x, weight.astype(jnp.bfloat16), last_with_first)
  return jax_deepgemm.fp8_dot_general(
    x, weight, last_with_first, preferred_element_type=jnp.bfloat16
  )


def mma_type(compute_dtype: jax.typing.DTypeLike) -> str:
  """Returns what a buffer for `mega_moe` is made with."""
  return "bf16xbf16" if compute_dtype == jnp.bfloat16 else "fp8xfp8"


def expert_mlp(
  rows: jax.Array,
  w_gate_up: jax.Array,
  w_down: jax.Array,
  group_sizes: jax.Array,
  compute_dtype: jax.typing.DTypeLike,
) -> jax.Array:
  """Returns `(silu(rows @ gate[e]) * (rows @ up[e])) @ w_down[e]`.

  Args:
    rows: `[m, d]` bfloat16, those of an expert together, in the experts' order.
    w_gate_up: `[experts, d, 2 * f]` float32, gate and up side by side.
    w_down: `[experts, f, d]` float32.
    group_sizes: int32 `[experts]`, rows of each expert. Rows past their sum may
      hold anything; their results are zero.
    compute_dtype: a value of `COMPUTE_DTYPES`.
  """
  return jax_deepgemm.moe_mlp(
    rows, w_gate_up, None, w_down, group_sizes, compute_dtype=compute_dtype
  )


def mega_moe(
  x: jax.Array,
  expert_ids: jax.Array,
  weights: jax.Array,
  w_gate_up: jax.Array,
  w_down: jax.Array,
  buffer: jax_deepgemm.SymmBuffer,
  compute_dtype: jax.typing.DTypeLike,
) -> jax.Array:
  """Returns `sum_i weights[i] * expert[ids[i]](x)` of each token.

  Args:
    x: `[t, d]` bfloat16, this device's tokens.
    expert_ids: int32 `[t, top_k]`.
    weights: float32 `[t, top_k]`.
    w_gate_up: as `expert_mlp` takes it; its rows are read as columns.
    w_down: likewise.
    buffer: made for these sizes and `mma_type(compute_dtype)`.
    compute_dtype: a value of `COMPUTE_DTYPES`.
  """
  operation = jax_deepgemm.fp8_mega_moe
  if compute_dtype == jnp.bfloat16:
    operation = jax_deepgemm.bf16_mega_moe
    w_gate_up, w_down = (w.astype(jnp.bfloat16) for w in (w_gate_up, w_down))
  return operation(x, expert_ids, weights, w_gate_up.mT, w_down.mT, buffer)
