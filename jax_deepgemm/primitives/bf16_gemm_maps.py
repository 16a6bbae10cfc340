"""Tensor maps of what the Hopper BF16 GEMMs read."""

from jax_deepgemm.alignment import align
from jax_deepgemm.heuristics.sm90_bf16_gemm import ATOM_ROWS, BLOCK_K
from jax_deepgemm.primitives.kernel_call import TensorMap
from jax_deepgemm.primitives.memory_order import steps

_BYTES = 2  # Of an element of A or B.
PITCH = 8  # Elements whose bytes TMA's pitches are multiples of.


def operand_map(
  index: int,
  shape: tuple[int, int, int],
  *,
  mn_major: bool,
  box_rows: int,
  box_k_blocks: int,
  splits_k: bool,
  groups_inside: bool = False,
) -> TensorMap:
  """Returns the map of buffer `index`, bfloat16 of `shape` (g, rows, k).

  Boxes have lines of 128 bytes: `box_rows` rows of `box_k_blocks` blocks of K,
  where K is split in blocks (`splits_k`) if boxes hold several, in the order
  that they have in shared memory, and of a K that ends within a block only the
  whole ones are there; or if `mn_major` 64 rows of one block.

  With `groups_inside` the buffer is (rows, g, k), or if `mn_major` (k, g, rows)
  and not (g, k, rows).
  """
  groups, rows, k = shape
  pitch = align(rows if mn_major else k, PITCH) * _BYTES
  lines = k if mn_major else rows
  line, group = steps(groups, lines, pitch, groups_inside)
  dims: tuple[int, ...]
  strides: tuple[int, ...]
  box: tuple[int, ...]
  if mn_major:
    dims = (rows, k, groups)
    strides = (line, group)
    box = (ATOM_ROWS, BLOCK_K, 1)
  elif not splits_k:
    dims = (k, rows, groups)
    strides = (line, group)
    box = (BLOCK_K, box_rows, 1)
  else:
    dims = (BLOCK_K, rows, k // BLOCK_K, groups)
    strides = (line, BLOCK_K * _BYTES, group)
    box = (BLOCK_K, box_rows, box_k_blocks, 1)
  return TensorMap(
    index=index, dtype="bf16", dims=dims, strides=strides, box=box, swizzle=128
  )
