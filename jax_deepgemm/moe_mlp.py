"""The experts of a mixture of experts: gate, up, SwiGLU and down."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jax_deepgemm import moe_bf16, moe_gradient
from jax_deepgemm.dot_arguments import as_castable
from jax_deepgemm.grouped_operands import checked_expected_m
from jax_deepgemm.moe_arguments import (
  MainGrads,
  MoeOperands,
  checked_compute_dtype,
  checked_main_grads,
  checked_operands,
)
from jax_deepgemm.moe_gradient import MoeParams
from jax_deepgemm.moe_sharding import over_mesh
from jax_deepgemm.options import current
from jax_deepgemm.residuals import checked_policy


def moe_mlp(
  x: jax.Array,
  w_gate: jax.Array,
  w_up: jax.Array | None,
  w_down: jax.Array,
  group_sizes: jax.Array,
  *,
  compute_dtype: jax.typing.DTypeLike = jnp.float8_e4m3fn,
  residuals: str = "fp8",
  main_grads: Sequence[jax.Array | None] | None = None,
  expected_m: int | None = None,
) -> jax.Array:
  """Returns `(silu(x @ w_gate[g]) * (x @ w_up[g])) @ w_down[g]` for rows of g.

  Rows of x lie in groups, one expert's after the other's, as in
  `jax.lax.ragged_dot`; rows past the last group are zero in the result and in
  the gradient, and may hold anything in x.

  In fp8 gate and up are one grouped GEMM, and SwiGLU is computed by the cast of
  what the down projection reads. Operands are quantised as DeepSeek-V3 does: x
  and the activations 1 x 128, weights 128 x 128, gradients 1 x 128, and for the
  gradients of weights both factors 1 x 128 along the rows of a group.
  Gradients are those of the unquantised formula ("straight through") at the
  hidden values that fp8 computed.

  What the backward pass reads has names for policies of `jax.checkpoint`:
  "fp8_activation" (x and the activations), "moe_hidden" (x @ w_gate and
  x @ w_up) and "fp8_weight".

  Under `shard_map` it computes the shard: experts, rows, or columns of w_gate
  and w_up with rows of w_down, whose partial results are yours to sum. Under
  explicit sharding those columns stay sharded as w_gate's where shards hold
  whole blocks of 128, and all else is gathered.

  Args:
    x: `[m, d]` bfloat16, float16 or float32.
    w_gate: `[g, d, f]`, likewise; or `[g, d, 2 f]`, gate and up side by side,
      which saves a copy of them.
    w_up: `[g, d, f]`, or None if w_gate holds it.
    w_down: `[g, f, n]`.
    group_sizes: `[g]` integers, rows of each group. What does not fit into m
      rows is cut.
    compute_dtype: float8_e4m3fn, or bfloat16 to compare with.
    residuals: what the backward pass gets in fp8: "fp8", quantised and
      transposed already, or "bf16", as given, cast again.
    main_grads: float32 arrays of the shapes of w_gate, w_up (None without it)
      and w_down; as main_grad of `fp8_ragged_dot`.
    expected_m: rows that a group is expected to have; a hint that changes
      speed alone.

  Returns:
    `[m, n]` in the dtype of x.

  Raises:
    TypeError: a dtype is wrong.
    ValueError: a shape or an option is wrong.
    NotImplementedError: main_grads in bfloat16; or there is no kernel where
      options(implementation="kernel") asks for one.
  """
  compute_dtype = checked_compute_dtype(compute_dtype)
  operands = checked_operands(x, w_gate, w_up, w_down, group_sizes)
  main_grads = checked_main_grads(main_grads, operands)
  castable = jax.tree.map(as_castable, operands)
  params = MoeParams(
    out_dtype=castable.x.dtype,
    residuals=checked_policy(residuals),
    expected_m=checked_expected_m(expected_m),
    options=current(),
  )
  if compute_dtype == jnp.bfloat16 and main_grads is not None:
    raise NotImplementedError(
      "main_grads must be None with compute_dtype bfloat16: add the gradients"
      " of the weights to them"
    )

  def shard(
    operands: MoeOperands, main_grads: MainGrads | None, out_dtype: jnp.dtype
  ) -> jax.Array:
    of_shard = dataclasses.replace(params, out_dtype=out_dtype)
    if compute_dtype == jnp.bfloat16:
      return moe_bf16.mlp(operands, of_shard)
    return moe_gradient.mlp(operands, main_grads, of_shard)

  result = over_mesh(shard, castable, main_grads, params.out_dtype)
  return result.astype(operands.x.dtype)
