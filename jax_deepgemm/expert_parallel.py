"""Expert parallelism: tokens to the ranks of their experts, and back.

For code inside `jax.shard_map`. Experts are split evenly over a mesh axis, in
order: expert e lives on rank e // (num_experts / ranks). `ep_dispatch` brings
each rank the rows that its experts compute on, sorted by expert, and
`ep_combine` brings the results back and adds them up. Sizes are values of the
device; nothing waits for the host.

Both have derivatives. That of the one is a movement like the other.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jax_deepgemm.array_checks import check_dtype, check_shape
from jax_deepgemm.expert_plan import AxisName, ExpertPlan, make_plan
from jax_deepgemm.expert_rows import combine, dispatch, dispatch_scaled
from jax_deepgemm.expert_wire import FP8, Wire
from jax_deepgemm.options import current
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.scaled_array import ScaledArray

_WIRE_DTYPES = ("float8_e4m3fn", "bfloat16", "float32")
_MOST_ROWS = 2**31 - 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DispatchedTokens:
  """What `ep_dispatch` brought to this rank.

  Attributes:
    tokens: `[max_rows, d]`, the rows of this rank's experts: sorted by expert,
      then by source rank, then by token. Rows past the sum of group_sizes may
      hold anything, NaN included.
    group_sizes: int32 `[num_experts / ranks]`, rows of each expert.
    num_dropped: int32, rows for this rank's experts that found no room.
    plan: what `ep_combine` needs.
  """

  tokens: jax.Array | ScaledArray
  group_sizes: jax.Array
  num_dropped: jax.Array
  plan: ExpertPlan


def ep_dispatch(
  x: jax.Array,
  expert_ids: jax.Array,
  *,
  num_experts: int,
  axis_name: AxisName,
  max_rows: int | None = None,
  wire_dtype: jax.typing.DTypeLike = jnp.float8_e4m3fn,
  dequantize: bool = True,
) -> DispatchedTokens:
  """Returns the rows x[i] of all ranks whose expert_ids[i, c] live here.

  One all-gather of counts and one `ragged_all_to_all` of rows, in which each
  (token, choice) travels once; on a CPU an all-gather and indexing with the
  same results, on an axis of size 1 neither.

  As float8_e4m3fn, rows are cast 1 x 128 with scales that are powers of two,
  and a row travels as d codes and ceil(d / 128) exponents. The receiver
  multiplies them out, which is exact in bfloat16, so that
  `per_token_cast_to_fp8(tokens, use_ue8m0=True)` stands for the same numbers:
  codes and scales are those that came, or for a block whose largest code was
  224, twice the codes and half the scale. Scales that are not powers of two
  round a second time; dequantize=False avoids both casts.

  The gradient of x[i] is the sum, in float32, of those of its rows, as if
  nothing had been rounded. They travel as bfloat16, or as float32 with
  wire_dtype float32. `jax.checkpoint` can save what arrived under the name
  "ep_dispatched", as it travelled, instead of sending it again.

  Args:
    x: `[t, d]` bfloat16 or float32, the tokens of this rank; t is the same on
      each rank.
    expert_ids: integers `[t, top_k]`, top_k >= 1. A choice below 0 or from
      num_experts on is dropped.
    num_experts: of all ranks, a multiple of the axis' size.
    axis_name: mesh axis that the experts are split over, or a tuple of axes.
    max_rows: rows that a rank has room for, by default for any distribution:
      ranks * t * top_k. Rows past it are dropped: those of the last experts of
      a rank, of the last source ranks and of the last tokens first.
    wire_dtype: float8_e4m3fn, bfloat16 or float32.
    dequantize: False leaves float8_e4m3fn rows as they came: tokens is then the
      pair (codes, scales) that grouped GEMMs take, and has no gradient.

  Returns:
    Tokens in bfloat16, or float32 with that wire_dtype, and group_sizes; see
    `DispatchedTokens`.

  Raises:
    TypeError: an argument has another type or dtype, or with dequantize=False a
      gradient of x is asked for.
    ValueError: a shape or size is wrong, or there is no such axis here.
  """
  check_dtype("x", x, jnp.bfloat16, jnp.float32)
  if x.ndim != 2:
    raise ValueError(f"x: expected shape (t, d), got {tuple(x.shape)}")
  _check_ids(expert_ids, x.shape[0])
  wire = _checked_wire("wire_dtype", wire_dtype)
  if not dequantize and wire.dtype != FP8:
    raise ValueError(
      f"dequantize: False needs wire_dtype float8_e4m3fn, got {wire.dtype.name}"
    )
  if isinstance(axis_name, list):  # The plan has to be hashable.
    axis_name = tuple(axis_name)
  ranks = _axis_size(axis_name)
  if not isinstance(num_experts, int) or num_experts < 1 or num_experts % ranks:
    raise ValueError(
      f"num_experts: expected a multiple of {ranks}, the size of axis"
      f" {axis_name!r}, above 0, got {num_experts!r}"
    )
  max_rows = _checked_max_rows(max_rows, ranks * expert_ids.size)
  # Gradients of what is the same on several ranks are summed over them.
  rank = jax.lax.axis_index(axis_name)
  x, expert_ids, _ = to_common_varying((x, expert_ids, rank))
  plan, group_sizes, num_dropped = make_plan(
    expert_ids, num_experts, axis_name, max_rows
  )
  if dequantize:
    tokens = dispatch(x, plan, wire)
  else:
    tokens = dispatch_scaled(_without_gradient(x), plan, wire)
  return DispatchedTokens(tokens, group_sizes, num_dropped, plan)


def ep_combine(
  expert_output: jax.Array,
  dispatched: DispatchedTokens,
  weights: jax.Array,
  *,
  gradient_wire_dtype: jax.typing.DTypeLike = jnp.bfloat16,
) -> jax.Array:
  """Returns y[i] = sum_c weights[i, c] * row of choice (i, c), `[t, d]`.

  Rows travel back in their dtype by one `ragged_all_to_all`, and are added in
  float32 in the order of c. Dropped choices count as zero, whatever their
  weights are.

  The gradient of a row is weights[i, c] * dy[i], in gradient_wire_dtype on its
  way; rows past the sum of group_sizes may get anything. That of weights[i, c]
  is the dot product, in float32, of dy[i] and the row, for which the rows that
  came back are saved: "ep_combined" for policies of `jax.checkpoint`.

  Args:
    expert_output: `[max_rows, d]` bfloat16 or float32, a row for each of
      `dispatched.tokens`. d may be another than theirs. Rows past the sum of
      group_sizes may hold anything.
    dispatched: what `ep_dispatch` returned.
    weights: `[t, top_k]` bfloat16 or float32.
    gradient_wire_dtype: float8_e4m3fn, bfloat16 or float32.

  Returns:
    `[t, d]` in the dtype of expert_output.

  Raises:
    TypeError: an argument has another type or dtype.
    ValueError: a shape is wrong.
  """
  check_dtype("expert_output", expert_output, jnp.bfloat16, jnp.float32)
  check_dtype("weights", weights, jnp.bfloat16, jnp.float32)
  if not isinstance(dispatched, DispatchedTokens):
    raise TypeError(
      "dispatched: expected what ep_dispatch returned, got"
      f" {type(dispatched).__name__}"
    )
  plan = dispatched.plan
  if expert_output.ndim != 2 or expert_output.shape[0] != plan.max_rows:
    raise ValueError(
      f"expert_output: expected shape ({plan.max_rows}, d), got"
      f" {tuple(expert_output.shape)}"
    )
  check_shape("weights", weights, plan.places.shape)
  wire = _checked_wire("gradient_wire_dtype", gradient_wire_dtype)
  operands = to_common_varying((expert_output, plan, weights))
  return combine(*operands, wire)


@jax.custom_jvp
def _without_gradient(x: jax.Array) -> jax.Array:
  return x


@_without_gradient.defjvp
def _refuse_gradient(*_: object) -> None:
  raise TypeError(
    "x has no gradient with dequantize=False, because codes have none; use"
    " dequantize=True, or jax.lax.stop_gradient(x)"
  )


def _check_ids(expert_ids: jax.Array, num_tokens: int) -> None:
  dtype = getattr(expert_ids, "dtype", None)
  if dtype is None or not jnp.issubdtype(dtype, jnp.integer):
    found = type(expert_ids).__name__ if dtype is None else dtype
    raise TypeError(f"expert_ids: expected an array of integers, got {found}")
  shape = tuple(expert_ids.shape)
  if len(shape) != 2 or shape[0] != num_tokens or shape[1] < 1:
    raise ValueError(
      f"expert_ids: expected shape ({num_tokens}, top_k) with top_k >= 1, got"
      f" {shape}"
    )


def _checked_wire(name: str, dtype: jax.typing.DTypeLike) -> Wire:
  found = jnp.dtype(dtype)
  if found.name not in _WIRE_DTYPES:
    raise TypeError(
      f"{name}: expected {', '.join(_WIRE_DTYPES)}, got {found.name}"
    )
  return Wire(found, current())


def _axis_size(axis_name: AxisName) -> int:
  try:
    return jax.lax.axis_size(axis_name)
  except NameError:
    raise ValueError(
      "axis_name: expected a mesh axis of an enclosing jax.shard_map, got"
      f" {axis_name!r}"
    ) from None


def _checked_max_rows(max_rows: int | None, most: int) -> int:
  if most > _MOST_ROWS:
    raise ValueError(
      f"expert_ids: expected fewer than 2**31 choices on all ranks, got {most}"
    )
  if max_rows is None:
    return most
  if not isinstance(max_rows, int) or not 0 <= max_rows <= _MOST_ROWS:
    raise ValueError(
      f"max_rows: expected None or an int from 0 to 2**31 - 1, got {max_rows!r}"
    )
  return max_rows
