"""Gradients of what the experts of one rank compute."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm import straight_through
from jax_deepgemm.fused_casts import weighted_swiglu
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.grouped_weight_gradient import bf16_weight_gradient
from jax_deepgemm.k_grouped_packing import group_ranges
from jax_deepgemm.mega_moe_experts import product
from jax_deepgemm.mega_moe_params import MegaMoeParams
from jax_deepgemm.moe_weight_gradient import weight_gradient
from jax_deepgemm.primitives import produced
from jax_deepgemm.primitives.produced import Produced
from jax_deepgemm.quantize import cast_grouped, cast_rows_grouped
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.straight_through import PER_TOKEN


class ArrivedRows(NamedTuple):
  """Rows of the experts here; past the sum of sizes they may be anything.

  Attributes:
    x: `[m, hidden]` bfloat16, or codes as bits and scales.
    dy: `[m, hidden]` bfloat16, the gradients of the rows' results.
    weights: `[m]` float32.
    hidden: `[m, 2 intermediate]` bfloat16.
    sizes: `[g]` int32.
  """

  x: Operand
  dy: jax.Array
  weights: jax.Array
  hidden: jax.Array
  sizes: jax.Array


class ExpertWeights(NamedTuple):
  """The weights of these experts as the backward pass reads them.

  Attributes:
    l1: from `mega_moe_weights.of_gradient`.
    l2: likewise.
    l1_dtype: of the gradient of l1, None if it has none.
    l2_dtype: likewise.
  """

  l1: Operand
  l2: Operand
  l1_dtype: jnp.dtype | None
  l2_dtype: jnp.dtype | None


class ExpertGradients(NamedTuple):
  """Of rows x, bfloat16, and their weights, float32, and of l1 and l2."""

  x: jax.Array
  weights: jax.Array
  l1: jax.Array | None
  l2: jax.Array | None


def expert_gradients(
  rows: ArrivedRows,
  weights: ExpertWeights,
  expected_m: int,
  params: MegaMoeParams,
) -> ExpertGradients:
  """Returns the gradients of one rank.

  Args:
    rows: what arrived.
    weights: of the experts.
    expected_m: rows that a group is expected to have; only a hint.
    params: of the layer.
  """
  kind = _Fp8Products if params.is_fp8 else _Bf16Products
  products = kind(rows.sizes, expected_m, params)
  dy = products.factor(rows.dy)
  da = products.of_rows(dy, weights.l2)
  dh, dweights = _swiglu_gradients(rows.hidden, rows.weights, da, params.clamp)
  dh = products.factor(dh)
  dl1 = dl2 = None
  if weights.l1_dtype is not None:
    dl1 = products.of_weights(dh, rows.x, weights.l1_dtype)
  if weights.l2_dtype is not None:
    made = weighted_swiglu(
      *(rows.hidden, rows.weights, params.clamp_array),
      fast_math=params.fast_math,
    )
    dl2 = products.of_weights(dy, made, weights.l2_dtype)
  return ExpertGradients(products.of_rows(dh, weights.l1), dweights, dl1, dl2)


def _swiglu_gradients(
  hidden: jax.Array, weights: jax.Array, da: jax.Array, clamp: float
) -> tuple[jax.Array, jax.Array]:
  """Returns the gradients of hidden, in its dtype, and of weights.

  What a bound has cut has none.
  """
  one, bound = np.float32(1), np.float32(clamp)
  gate, up = jnp.split(hidden.astype(jnp.float32), 2, axis=-1)
  to_gate, to_up = gate <= bound, jnp.abs(up) <= bound
  gate, up = jnp.minimum(gate, bound), jnp.clip(up, -bound, bound)
  s = jax.nn.sigmoid(gate)
  da = da.astype(jnp.float32)
  dweights = (da * (gate * s * up)).sum(axis=-1)
  da = da * weights[:, None]
  dgate = jnp.where(to_gate, da * up * s * (one + gate * (one - s)), 0)
  dup = jnp.where(to_up, da * (gate * s), 0)
  dh = jnp.concatenate([dgate, dup], axis=-1)
  return dh.astype(hidden.dtype), dweights


class _Fp8Products:
  """Of factors quantised along rows, and along the rows of each group."""

  def __init__(
    self, sizes: jax.Array, expected_m: int, params: MegaMoeParams
  ) -> None:
    self._sizes, self._expected_m, self._params = sizes, expected_m, params

  def factor(self, dy: jax.Array) -> tuple[ScaledArray, ScaledArray]:
    """Returns dy `[m, n]` as both kinds of products read it."""
    return cast_rows_grouped(dy, self._sizes, False, self._params.options)

  def of_rows(
    self, factor: tuple[ScaledArray, ScaledArray], weight: Operand
  ) -> jax.Array:
    """Returns dy[i] @ weight[g] in row i of group g, `[m, k]`."""
    return product(
      factor[0], weight, self._sizes, self._expected_m, self._params
    )

  def of_weights(
    self,
    factor: tuple[ScaledArray, ScaledArray],
    rows: Operand | Produced,
    dtype: jnp.dtype,
  ) -> jax.Array:
    """Returns the sum of dy[i].T rows[i] over each group, `[g, n, k]`."""
    options = self._params.options
    if isinstance(rows, ScaledArray):
      rows = straight_through.restored(rows, PER_TOKEN)
    columns = cast_grouped(rows, self._sizes, False, options)
    ranges = group_ranges(self._sizes, rows.shape[0], False)
    return weight_gradient(factor[1], columns, ranges, None, dtype, options)


class _Bf16Products:
  """Of bfloat16 as it is."""

  def __init__(
    self, sizes: jax.Array, expected_m: int, params: MegaMoeParams
  ) -> None:
    self._sizes, self._expected_m, self._params = sizes, expected_m, params

  def factor(self, dy: jax.Array) -> jax.Array:
    """Returns dy `[m, n]`."""
    return dy

  def of_rows(self, dy: jax.Array, weight: jax.Array) -> jax.Array:
    """Returns dy[i] @ weight[g] in row i of group g, `[m, k]`."""
    return product(
      dy,
      weight,
      self._sizes,
      self._expected_m,
      self._params,
      weight_is_transposed=True,
    )

  def of_weights(
    self, dy: jax.Array, rows: jax.Array | Produced, dtype: jnp.dtype
  ) -> jax.Array:
    """Returns the sum of dy[i].T rows[i] over each group, `[g, n, k]`."""
    if isinstance(rows, Produced):
      rows = produced.produce(rows.source, *rows.operands)
    ranges = group_ranges(self._sizes, rows.shape[0], False)
    options = self._params.options
    return bf16_weight_gradient(dy, rows, ranges, dtype, options)
