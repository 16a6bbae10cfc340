"""A typed, hashable description of one kernel launch."""

import dataclasses

from jax_deepgemm.jit.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Buffer:
  """A device pointer.

  Attributes:
    index: which buffer, counting operands, then results, then arenas.
    offset: bytes from the buffer's beginning.
  """

  index: int
  offset: int = 0


@dataclasses.dataclass(frozen=True)
class Scalar:
  """A number passed by value; `kind` is "i32", "i64" or "f32"."""

  value: int | float
  kind: str = "i32"


@dataclasses.dataclass(frozen=True)
class TensorMap:
  """A `CUtensorMap` over one buffer, encoded at launch and passed by value.

  Attributes:
    index: which buffer, counting operands, then results, then arenas.
    dtype: element type, such as "u8", "bf16" or "f32".
    dims: sizes in elements, innermost first.
    strides: pitches in bytes of dimension 1 and up.
    box: sizes of the tile that one instruction copies, innermost first.
    swizzle: bytes of the shared memory swizzle: 0, 32, 64 or 128.
    l2_promotion: bytes that a miss fetches into L2: 0, 64, 128 or 256.
    offset: bytes from the buffer's beginning to the map's, a multiple of 16.
  """

  index: int
  dtype: str
  dims: tuple[int, ...]
  strides: tuple[int, ...]
  box: tuple[int, ...]
  swizzle: int
  l2_promotion: int = 256
  offset: int = 0


@dataclasses.dataclass(frozen=True)
class KernelCall:
  """One launch of one kernel.

  Attributes:
    recipe: the kernel.
    grid: thread blocks in x, y and z.
    cluster: thread blocks of a cluster in x, y and z.
    threads: threads of a block.
    smem_bytes: dynamic shared memory of a block.
    pdl: launch with programmatic dependent launch.
    params: the kernel's arguments in order.
    embed_cubin: put the machine code into the program; it is compiled while
      lowering, so lowering then needs a compiler.
  """

  recipe: Recipe
  grid: tuple[int, int, int]
  cluster: tuple[int, int, int]
  threads: int
  smem_bytes: int
  pdl: bool
  params: tuple[Buffer | Scalar | TensorMap, ...]
  embed_cubin: bool = False
