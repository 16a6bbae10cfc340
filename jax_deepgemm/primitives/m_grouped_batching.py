"""vmap of the m-grouped GEMMs: one launch where the batch can be rows.

A batch of contiguous products is one product of more rows, and of more groups
where B is batched too. Groups of a ragged layout leave no room between them
for the rest of each element, so there the batch is a loop of launches.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import align, ceil_div
from jax_deepgemm.primitives.grouped_layout import NO_GROUP, group_of_rows

Dim = int | None
Bind = Callable[..., jax.Array]


def batch(
  bind: Bind, operands: Sequence[jax.Array], dims: Sequence[Dim], **params: Any
) -> tuple[jax.Array, int]:
  """Returns the batched product, with its batch dimension first.

  Args:
    bind: binds the primitive.
    operands: a (and scales), b (and scales) and the layout, one more dimension
      where batched.
    dims: the batch dimension of each operand, or None.
    **params: of the primitive.
  """
  size = next(
    x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None
  )
  arrays = [
    x if d is None else jnp.moveaxis(x, d, 0)
    for x, d in zip(operands, dims, strict=True)
  ]
  is_batched = [d is not None for d in dims]
  half = len(arrays) // 2
  b_is_batched = any(is_batched[half:-1])
  rows = arrays[0].shape[-2]
  if params["layout"] == "masked":
    if b_is_batched:
      return _masked_groups(bind, arrays, is_batched, size, params), 0
    # Whole aligned groups are also groups of an index layout, and those may
    # share one B; else B would be copied for each element.
    if rows % _row_multiple(params) == 0:
      return _masked_as_index(bind, arrays, is_batched, size, params), 0
  elif params["layout"] != "ragged":
    return _more_rows(bind, arrays, is_batched, size, params), 0
  return _loop(bind, arrays, is_batched, params), 0


def _row_multiple(params: dict[str, Any]) -> int:
  """Returns what the rows of one element must be a multiple of in a fold."""
  gran_m = params.get("recipe_a", (1, 1))[0]
  return math.lcm(params["options"].mk_alignment, params["alignment"], gran_m)


def _loop(
  bind: Bind,
  arrays: Sequence[jax.Array],
  is_batched: Sequence[bool],
  params: dict[str, Any],
) -> jax.Array:
  """Returns the products of the elements one after the other."""

  def one(elements: Sequence[jax.Array]) -> jax.Array:
    remaining = iter(elements)
    chosen = [
      next(remaining) if batched else x
      for x, batched in zip(arrays, is_batched, strict=True)
    ]
    return bind(chosen, **params)

  batched = [x for x, b in zip(arrays, is_batched, strict=True) if b]
  return jax.lax.map(one, batched)


def _masked_groups(
  bind: Bind,
  arrays: Sequence[jax.Array],
  is_batched: Sequence[bool],
  size: int,
  params: dict[str, Any],
) -> jax.Array:
  """Returns the product where each element's groups are groups of one call."""
  all_batched = [
    x if b else _repeat(x, size)
    for x, b in zip(arrays, is_batched, strict=True)
  ]
  d = bind([_merge(x) for x in all_batched], **params)
  return d.reshape(all_batched[0].shape[:2] + d.shape[1:])


def _masked_as_index(
  bind: Bind,
  arrays: Sequence[jax.Array],
  is_batched: Sequence[bool],
  size: int,
  params: dict[str, Any],
) -> jax.Array:
  """Returns the product of masked groups that share B, by an index layout."""
  *_, num_groups, rows, _ = arrays[0].shape
  half = len(arrays) // 2
  ids = jax.vmap(
    lambda x: group_of_rows(
      x,
      layout="masked",
      alignment=1,
      num_groups=num_groups,
      num_rows=num_groups * rows,
    )
  )
  layout = ids(arrays[-1] if is_batched[-1] else _repeat(arrays[-1], size))
  row_operands = [
    _merge(x if b else _repeat(x, size))
    for x, b in zip(arrays[:half], is_batched[:half], strict=True)
  ]
  d = bind(
    [*(_merge(x) for x in row_operands), *arrays[half:-1], _merge(layout)],
    **_as_index(params),
  )
  return d.reshape(size, num_groups, rows, d.shape[-1])


def _more_rows(
  bind: Bind,
  arrays: Sequence[jax.Array],
  is_batched: Sequence[bool],
  size: int,
  params: dict[str, Any],
) -> jax.Array:
  """Returns the product of contiguous layouts whose rows follow each other.

  Rows are padded to whole aligned blocks, if they are none.
  """
  half = len(arrays) // 2
  num_groups = arrays[half].shape[-3]
  num_rows = arrays[0].shape[-2]
  padded_rows = align(num_rows, _row_multiple(params))
  all_batched = [
    x if b else _repeat(x, size)
    for x, b in zip(arrays, is_batched, strict=True)
  ]
  ids = jax.vmap(
    lambda x: group_of_rows(
      x,
      layout=params["layout"],
      alignment=params["alignment"],
      num_groups=num_groups,
      num_rows=num_rows,
    )
  )(all_batched[-1])
  ids = _pad(ids, 1, padded_rows, NO_GROUP)
  weights = arrays[half:-1]
  if any(is_batched[half:-1]):
    element = jnp.arange(size, dtype=jnp.int32)[:, None]
    ids = jnp.where(ids < 0, ids, ids + element * num_groups)
    weights = [_merge(x) for x in all_batched[half:-1]]
  # Values, and their scales if there are any.
  grans = (1, params.get("recipe_a", (1, 1))[0])
  row_operands = [
    _merge(_pad(x, 1, ceil_div(padded_rows, gran)))
    for x, gran in zip(all_batched[:half], grans, strict=False)
  ]
  d = bind([*row_operands, *weights, _merge(ids)], **_as_index(params))
  return d.reshape(size, padded_rows, d.shape[-1])[:, :num_rows]


def _as_index(params: dict[str, Any]) -> dict[str, Any]:
  """Returns the parameters with an index layout instead."""
  alignment = params["options"].mk_alignment
  if params["layout"] != "masked":
    alignment = params["alignment"]
  return params | {"layout": "index", "alignment": alignment}


def _repeat(x: jax.Array, size: int) -> jax.Array:
  return jnp.broadcast_to(x, (size, *x.shape))


def _merge(x: jax.Array) -> jax.Array:
  """Returns x with its first two dimensions as one."""
  return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def _pad(x: jax.Array, axis: int, size: int, value: int = 0) -> jax.Array:
  padding = [(0, 0)] * x.ndim
  padding[axis] = (0, size - x.shape[axis])
  constant = jnp.asarray(value, x.dtype)
  return jnp.pad(x, padding, constant_values=constant)
