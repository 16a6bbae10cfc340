"""Configurations of the casts' kernels on Hopper."""

import dataclasses
import enum

from jax_deepgemm.heuristics.device import Device

TILE = 128  # kCastTile in cuda/common/transposed_tile.cuh.
STRIP = 128  # Columns of a warp in the kernel for rows.
# Of 4 warps with at most 64 registers a thread; for tiles taken in turn.
COUNTED_CTAS_PER_SM = 8

# 8 warps an SM, each with all of its rows in flight, keep the memory busy.
_BUSY_WARPS = 8
# Bytes that a thread of the kernel for rows loads together.
_BYTES_IN_FLIGHT = 128


class CastSource(enum.Enum):
  """Where the matrix that is cast comes from.

  Members:
    PLAIN: it is x.
    GATHER: row i is row row_indices[i] of x, zeros if x has no such row.
    SWIGLU: silu(gate) * up of h = [gate, up].
    WEIGHTED_SWIGLU: the same, clamped and times a weight for each row.
    SWIGLU_GRADIENT: the gradient to h, of dy to silu(gate) * up.
    RMS_NORM: x * rstd * weight.
  """

  PLAIN = "plain"
  GATHER = "gather"
  SWIGLU = "swiglu"
  WEIGHTED_SWIGLU = "weighted_swiglu"
  SWIGLU_GRADIENT = "swiglu_gradient"
  RMS_NORM = "rms_norm"


_SWIGLUS = (CastSource.SWIGLU, CastSource.WEIGHTED_SWIGLU)


@dataclasses.dataclass(frozen=True)
class Sm90CastRowsConfig:
  """A form of the kernel with one scale per row and `gran_k` columns, or none.

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
    source: what is cast.
    counted: rows of groups alone are cast, whose sizes the device knows; CTAs
      take tiles in turn.
    fast_math: the exponential of WEIGHTED_SWIGLU is approximated; others have
      no other.
    bfloat16_out: values are bfloat16, as they are, and have no scales.
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
  source: CastSource = CastSource.PLAIN
  counted: bool = False
  fast_math: bool = True
  bfloat16_out: bool = False


@dataclasses.dataclass(frozen=True)
class Sm90CastTileConfig:
  """A form of the kernel for scales that span rows.

  Attributes:
    float32_in: x is float32, else bfloat16.
    use_ue8m0: scales are powers of two.
    per_block: values have a scale per 128 x 128,
    per_row: per row and 128 columns,
    per_column: or per column and 128 rows.
    transposed: the transpose is written, with the scales of per_block or else
      of per_column.
    grouped: rows are cut into groups; needs transposed, alone or with per_row.
    aligned_columns: columns are a multiple of 8.
    aligned_rows: rows of the transpose are a multiple of 16.
    ctas_per_sm: that registers suffice for.
    source: what is cast.
    fast_math: as in `Sm90CastRowsConfig`.
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
  ctas_per_sm: int = 2
  source: CastSource = CastSource.PLAIN
  fast_math: bool = True


def rows_per_thread(
  rows: int, strips: int, float32_in: bool, source: CastSource, device: Device
) -> int:
  """Returns how many rows a thread of the kernel for rows loads together.

  Many hide the memory's latency, 128 bytes a thread; one spreads a small x
  over more SMs, and is faster for RMS norm, 25.7 us for 29.5 (4096 x 7168).

  Args:
    rows: that are cast, those of a batch together.
    strips: of 128 columns.
    float32_in: x is float32.
    source: what is cast.
    device: what it runs on.
  """
  if source is CastSource.RMS_NORM:
    return 1
  most = max(1, _BYTES_IN_FLIGHT // _bytes_per_row(float32_in, source))
  warps = -(-rows // (4 * most)) * strips
  return most if warps >= _BUSY_WARPS * device.num_sms else 1


def ctas_per_sm(form: Sm90CastTileConfig) -> int:
  """Returns how many CTAs of the kernel for tiles registers suffice for.

  With one more, the compiler would spill.

  Args:
    form: the configuration, whatever its `ctas_per_sm`.
  """
  source, float32_in = form.source, form.float32_in
  both_ways = form.transposed and (form.per_row or form.per_block)
  if source is CastSource.SWIGLU_GRADIENT:
    return 1 if float32_in else 2  # Two tiles of float32 fill shared memory.
  if float32_in or not form.aligned_columns:
    makes_much = source in (*_SWIGLUS, CastSource.RMS_NORM)
    is_slow = not form.aligned_columns or (both_ways and not form.fast_math)
    return 1 if float32_in and is_slow and makes_much else 2
  if source is CastSource.RMS_NORM and both_ways:
    return 2 if form.grouped or not form.aligned_rows else 3
  if source is CastSource.WEIGHTED_SWIGLU and both_ways:
    return 2
  return 3 if both_ways or source in _SWIGLUS else 4


def _bytes_per_row(float32_in: bool, source: CastSource) -> int:
  """Returns what a thread of the kernel for rows loads of one row."""
  pieces = {**dict.fromkeys(_SWIGLUS, 2), CastSource.SWIGLU_GRADIENT: 3}
  return pieces.get(source, 1) * (64 if float32_in else 32)
