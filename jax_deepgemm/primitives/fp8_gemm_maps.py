"""Tensor maps of what the Hopper FP8 GEMMs read and write."""

from jax_deepgemm.alignment import align, get_tma_aligned_size
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K
from jax_deepgemm.primitives.kernel_call import TensorMap
from jax_deepgemm.primitives.memory_order import steps

_STORE_ROWS = 16  # kStoreRows in cuda/common/tile_store.cuh.


def operand_map(
  index: int,
  shape: tuple[int, int, int],
  *,
  box_rows: int,
  box_k_blocks: int,
  splits_k: bool,
  groups_inside: bool = False,
) -> TensorMap:
  """Returns the map of buffer `index`, float8_e4m3fn of `shape` (g, rows, k).

  Rows of the buffer are a multiple of 16 bytes apart. A box has `box_rows` rows
  of `box_k_blocks` blocks of K; K is split in blocks (`splits_k`) where boxes
  hold several, in the order that they have in shared memory. Of a K that ends
  within a block only the whole ones are there then. With `groups_inside` the
  buffer is (rows, g, k).
  """
  groups, rows, k = shape
  line, group = steps(groups, rows, align(k, 16), groups_inside)
  if splits_k:
    return TensorMap(
      index=index,
      dtype="u8",
      dims=(BLOCK_K, rows, k // BLOCK_K, groups),
      strides=(line, BLOCK_K, group),
      box=(BLOCK_K, box_rows, box_k_blocks, 1),
      swizzle=128,
    )
  return TensorMap(
    index=index,
    dtype="u8",
    dims=(k, rows, groups),
    strides=(line, group),
    box=(BLOCK_K, box_rows, 1),
    swizzle=128,
  )


def codes_map(
  index: int,
  shape: tuple[int, int, int],
  *,
  box_rows: int,
  box_k_blocks: int,
) -> TensorMap:
  """Returns the map of buffer `index`, FP4 codes of `shape` (g, rows, k).

  Two codes share a byte, and rows are a multiple of 16 bytes apart. Boxes are
  those of `operand_map`, of half as many bytes; several blocks split K.
  """
  groups, rows, k = shape
  pitch = align(k, 32) // 2
  block = BLOCK_K // 2
  if box_k_blocks > 1:
    return TensorMap(
      index=index,
      dtype="u8",
      dims=(block, rows, k // BLOCK_K, groups),
      strides=(pitch, block, rows * pitch),
      box=(block, box_rows, box_k_blocks, 1),
      swizzle=64,
    )
  return TensorMap(
    index=index,
    dtype="u8",
    dims=(pitch, rows, groups),
    strides=(pitch, rows * pitch),
    box=(block, box_rows, 1),
    swizzle=64,
  )


def scale_map(
  index: int,
  shape: tuple[int, int, int],
  *,
  box_rows: int,
  box_k_blocks: int,
) -> TensorMap:
  """Returns the map of float32 scales of `shape` (g, k blocks, rows)."""
  groups, num_k_blocks, rows = shape
  pitch = get_tma_aligned_size(rows, 4)
  return TensorMap(
    index=index,
    dtype="f32",
    dims=(pitch, num_k_blocks, groups),
    strides=(pitch * 4, num_k_blocks * pitch * 4),
    box=(box_rows, box_k_blocks, 1),
    swizzle=0,
  )


def result_map(
  index: int,
  shape: tuple[int, int, int],
  *,
  float32_out: bool,
  columns: int,
  groups_inside: bool = False,
) -> TensorMap:
  """Returns the map of D of `shape` (g, rows, pitch), boxes `columns` wide.

  With `groups_inside` it is (rows, g, pitch).
  """
  groups, rows, pitch = shape
  size = 4 if float32_out else 2
  return TensorMap(
    index=index,
    dtype="f32" if float32_out else "bf16",
    dims=(pitch, rows, groups),
    strides=steps(groups, rows, pitch * size, groups_inside),
    box=(columns, _STORE_ROWS, 1),
    swizzle=128 if columns * size == 128 else 0,
  )
