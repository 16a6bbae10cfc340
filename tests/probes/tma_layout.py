"""Which bytes a TMA box moves, from its map."""

import dataclasses
import random

import numpy as np

from jax_deepgemm.alignment import align
from jax_deepgemm.primitives.kernel_call import TensorMap

BOX_BYTES = 16 * 1024
ELEMENT_BYTES = {
  "u8": 1,
  "u16": 2,
  "u32": 4,
  "i32": 4,
  "u64": 8,
  "i64": 8,
  "f16": 2,
  "f32": 4,
  "f64": 8,
  "bf16": 2,
}
_SWIZZLES = (0, 32, 64, 128)


@dataclasses.dataclass(frozen=True)
class Box:
  """Bytes of one box, those outside the tensor included.

  Attributes:
    offsets: in shared memory.
    sources: in global memory.
    inside: which of them there are.
  """

  offsets: np.ndarray
  sources: np.ndarray
  inside: np.ndarray


def random_map(
  rng: random.Random,
  index: int,
  dtype: str,
  rank: int,
  *,
  stores: bool = False,
) -> TensorMap:
  """Returns a map over buffer `index` with gaps between rows.

  Rows that are stored to end at a multiple of 16 bytes: an H200 writes the
  16 bytes in which a row ends as a whole.
  """
  size = ELEMENT_BYTES[dtype]
  swizzle = rng.choice(_SWIZZLES)
  row_bytes = swizzle or 16 * rng.randint(1, 8)
  most = {1: 1, 2: 64, 3: 8, 4: 4, 5: 3}[rank]
  box = [row_bytes // size, *(rng.randint(1, most) for _ in range(rank - 1))]
  dims = [rng.randint(max(x // 2, 1), 2 * x) for x in box]
  if stores:
    dims[0] = align(dims[0], 16 // size)
  strides = []
  pitch = dims[0] * size
  for dim in dims[1:]:
    pitch = -(-pitch // 16) * 16 + 16 * rng.randint(0, 2)
    strides.append(pitch)
    pitch *= dim
  shape = (tuple(dims), tuple(strides), tuple(box))
  return TensorMap(index, dtype, *shape, swizzle)


def box_bytes(tensor: TensorMap) -> int:
  """Returns what a load counts."""
  return int(np.prod(tensor.box)) * ELEMENT_BYTES[tensor.dtype]


def buffer_bytes(tensor: TensorMap) -> int:
  """Returns the size of the buffer, up to 16 bytes more than needed."""
  pitches = (ELEMENT_BYTES[tensor.dtype], *tensor.strides)
  sizes = zip(tensor.dims, pitches, strict=True)
  end = sum((dim - 1) * pitch for dim, pitch in sizes) + pitches[0]
  return -(-end // 16) * 16


def random_place(
  rng: random.Random, tensor: TensorMap, *, stores: bool = False
) -> tuple[int, ...]:
  """Returns coordinates, which may lie outside the tensor on any side.

  The innermost is a multiple of 16 bytes, which TMA requires. Stores begin at
  no negative coordinate: an H200 refused some that did.
  """
  step = 16 // ELEMENT_BYTES[tensor.dtype]
  lowest = [0 if stores else -box for box in tensor.box]
  first = step * rng.randint(lowest[0] // step, tensor.dims[0] // step)
  sizes = zip(lowest[1:], tensor.dims[1:], strict=True)
  return (first, *(rng.randint(low, dim) for low, dim in sizes))


def box_at(tensor: TensorMap, place: tuple[int, ...]) -> Box:
  """Returns the box at `place`, the outermost dimension first."""
  size = ELEMENT_BYTES[tensor.dtype]
  pitches = (size, *tensor.strides)
  shape = (*tensor.box[::-1], size)
  sources = np.arange(size)
  inside = np.ones(shape, bool)
  for axis in range(len(tensor.box)):
    index = place[axis] + np.arange(tensor.box[axis])
    index = index.reshape(-1, *(1,) * (axis + 1))
    sources = sources + index * pitches[axis]
    inside = inside & (index >= 0) & (index < tensor.dims[axis])
  offsets = np.arange(np.prod(shape)).reshape(shape)
  mask = max(tensor.swizzle // 16 - 1, 0)
  offsets = offsets ^ ((offsets >> 7 & mask) << 4)
  return Box(offsets, np.broadcast_to(sources, shape), inside)
