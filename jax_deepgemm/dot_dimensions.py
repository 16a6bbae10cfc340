"""Dimension numbers of a dot product, brought to those of a matrix product."""

import dataclasses
import math
import operator
from collections.abc import Sequence
from typing import Any

import jax

Dims = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Side:
  """The dimensions of one operand by what they are to the product.

  Attributes:
    batch: in the order that the result has them in.
    free: ascending.
    contracting: in an order that both operands share.
  """

  batch: Dims
  free: Dims
  contracting: Dims

  @property
  def is_mn_major(self) -> bool:
    """Whether the operand, as it lies, is `[*batch, k, rows]`."""
    rest = self.contracting + self.free
    return bool(self.free) and rest == tuple(sorted(rest))

  def flattened(self, x: jax.Array, is_mn_major: bool) -> jax.Array:
    """Returns x as `[rows, k]` or `[k, rows]`, after a batch if it has one.

    Args:
      x: the operand.
      is_mn_major: rows come last.
    """
    parts = [self.free, self.contracting]
    if is_mn_major:
      parts.reverse()
    if self.batch:
      parts.insert(0, self.batch)
    shape = [sizes_product(x, dims) for dims in parts]
    order = tuple(d for dims in parts for d in dims)
    if order != tuple(range(x.ndim)):
      x = jax.lax.transpose(x, order)
    return jax.lax.reshape(x, shape)


@dataclasses.dataclass(frozen=True)
class DotDimensions:
  """The dimensions of both operands of a dot product."""

  lhs: Side
  rhs: Side

  def result_shape(
    self, lhs_shape: Sequence[int], rhs_shape: Sequence[int]
  ) -> Dims:
    """Returns the shape: batch, free dimensions of lhs, those of rhs."""
    return (
      *(lhs_shape[d] for d in self.lhs.batch + self.lhs.free),
      *(rhs_shape[d] for d in self.rhs.free),
    )


def sizes_product(x: Any, dims: Dims) -> int:
  """Returns the product of the sizes of some dimensions of x."""
  return math.prod(x.shape[d] for d in dims)


def parse(dimension_numbers: Any, lhs: Any, rhs: Any) -> DotDimensions:
  """Returns the dimensions that `jax.lax.dot_general` would contract.

  Dimensions are contracted in the order that rhs has them in, so that a weight
  is transposed for no reason but its own layout.

  Args:
    dimension_numbers: ((lhs_contracting, rhs_contracting), (lhs_batch,
      rhs_batch)).
    lhs: anything with a shape.
    rhs: likewise.

  Raises:
    TypeError: dimension_numbers has another form.
    ValueError: dimensions are out of range, come twice or do not match.
  """
  try:
    contracting, batch = (
      tuple(tuple(map(operator.index, dims)) for dims in pair)
      for pair in dimension_numbers
    )
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = (
      contracting,
      batch,
    )
  except (TypeError, ValueError):
    raise TypeError(
      "dimension_numbers must be ((lhs_contracting, rhs_contracting),"
      f" (lhs_batch, rhs_batch)), got {dimension_numbers!r}"
    ) from None
  _check_side("lhs", lhs.shape, lhs_batch + lhs_contracting)
  _check_side("rhs", rhs.shape, rhs_batch + rhs_contracting)
  for role, pair in (("contracting", contracting), ("batch", batch)):
    _check_sizes(role, pair, lhs.shape, rhs.shape)
  pairs = sorted(
    zip(lhs_contracting, rhs_contracting, strict=True), key=lambda p: p[1]
  )
  return DotDimensions(
    _side(lhs, lhs_batch, tuple(left for left, _ in pairs)),
    _side(rhs, rhs_batch, tuple(right for _, right in pairs)),
  )


def _side(x: Any, batch: Dims, contracting: Dims) -> Side:
  used = {*batch, *contracting}
  free = tuple(d for d in range(len(x.shape)) if d not in used)
  return Side(batch, free, contracting)


def _check_side(name: str, shape: Sequence[int], dims: Dims) -> None:
  if not all(0 <= d < len(shape) for d in dims) or len(set(dims)) != len(dims):
    raise ValueError(
      f"dimension_numbers must name distinct dimensions of {name}, which has"
      f" shape {tuple(shape)}, got {dims}"
    )


def _check_sizes(
  role: str,
  pair: tuple[Dims, Dims],
  lhs_shape: Sequence[int],
  rhs_shape: Sequence[int],
) -> None:
  left = tuple(lhs_shape[d] for d in pair[0])
  right = tuple(rhs_shape[d] for d in pair[1])
  if left != right:
    raise ValueError(
      f"{role} dimensions of lhs and rhs must have the same sizes, got {left}"
      f" and {right}"
    )
