"""Configurations of the casts' kernels on Hopper."""

import dataclasses

from jax_deepgemm.heuristics.device import Device

TILE = 128  # kCastTile in cuda/common/transposed_tile.cuh.
STRIP = 128  # Columns of a warp in the kernel for rows.

# 8 warps an SM, each with all of its rows in flight, keep the memory busy.
_BUSY_WARPS = 8


@dataclasses.dataclass(frozen=True)
class Sm90CastRowsConfig:
  """A form of the kernel with one scale per row and `gran_k` columns.

  Attributes:
    float32_in: x is float32, else bfloat16.
    gran_k: columns that share a scale, 32 or 128.
    use_ue8m0: scales are powers of two.
    mn_major: scales are `[blocks, align(rows, 4)]`, else `[rows, blocks]`.
    aligned: columns are a multiple of 8, so that rows are read 16 bytes at a
      time.
    rows_per_thread: that are loaded together; a warp has four times as many.
    num_warps: of a CTA, side by side along a row.
    fp4: values are e2m1, else e4m3.
    packed: scales are exponents, four to an int32; needs gran_k 32.
  """

  float32_in: bool
  gran_k: int
  use_ue8m0: bool
  mn_major: bool
  aligned: bool
  rows_per_thread: int
  num_warps: int
  fp4: bool = False
  packed: bool = False


@dataclasses.dataclass(frozen=True)
class Sm90CastTileConfig:
  """A form of the kernel for scales that span rows.

  Attributes:
    float32_in: x is float32, else bfloat16.
    use_ue8m0: scales are powers of two.
    per_block: values have a scale per 128 x 128,
    per_row: per row and 128 columns,
    per_column: or per column and 128 rows.
    transposed: the transpose is written, with the scales of per_column.
    grouped: rows are cut into groups; needs transposed alone.
    aligned_columns: columns are a multiple of 8.
    aligned_rows: rows of the transpose are a multiple of 16.
  """

  float32_in: bool
  use_ue8m0: bool
  per_block: bool = False
  per_row: bool = False
  per_column: bool = False
  transposed: bool = False
  grouped: bool = False
  aligned_columns: bool = True
  aligned_rows: bool = True


def rows_per_thread(
  rows: int, strips: int, float32_in: bool, device: Device
) -> int:
  """Returns how many rows a thread of the kernel for rows loads together.

  Many hide the memory's latency, 128 bytes a thread; one spreads a small x
  over more SMs.

  Args:
    rows: of x, those of a batch together.
    strips: of 128 columns.
    float32_in: x is float32.
    device: what it runs on.
  """
  most = 2 if float32_in else 4
  warps = -(-rows // (4 * most)) * strips
  return most if warps >= _BUSY_WARPS * device.num_sms else 1
