"""Launches of several families in one custom call: their buffers renumbered."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax

from jax_deepgemm.primitives.kernel_call import (
  Buffer,
  KernelCall,
  Scalar,
  TensorMap,
)


@dataclasses.dataclass(frozen=True)
class ChainBuffers:
  """The buffers of a custom call by their names.

  Attributes:
    operands: names of the operands, in order.
    results: shapes and dtypes of the results by name, in order.
    arenas: names of the symmetric buffers, in order.
  """

  operands: Sequence[str]
  results: Mapping[str, jax.ShapeDtypeStruct]
  arenas: Sequence[str]

  def at(self, name: str, offset: int = 0) -> Buffer:
    """Returns where a launch finds a buffer, `offset` bytes into it.

    Raises:
      ValueError: there is no such buffer.
    """
    names = [*self.operands, *self.results, *self.arenas]
    return Buffer(names.index(name), offset)

  def has(self, name: str) -> bool:
    """Returns whether there is an operand or a result of that name."""
    return name in self.operands or name in self.results


def placed(call: KernelCall, places: Sequence[Buffer]) -> KernelCall:
  """Returns the launch with its buffer i at places[i] of a longer chain's.

  Args:
    call: of one custom call alone, whose operands and then results count 0, 1
      and so on.
    places: one for each of these.

  Raises:
    IndexError: the launch has more buffers than there are places.
  """
  return dataclasses.replace(
    call, params=tuple(_placed(param, places) for param in call.params)
  )


def _placed(
  param: Buffer | Scalar | TensorMap, places: Sequence[Buffer]
) -> Buffer | Scalar | TensorMap:
  if isinstance(param, Scalar):
    return param
  place = places[param.index]
  return dataclasses.replace(
    param, index=place.index, offset=place.offset + param.offset
  )
