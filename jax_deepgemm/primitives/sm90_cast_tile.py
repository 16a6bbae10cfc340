"""The Hopper kernel for scales that span rows, as a custom call."""

import math

import jax
import jax.numpy as jnp
from jax.core import ShapedArray

from jax_deepgemm.alignment import align, ceil_div
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_cast import TILE, Sm90CastTileConfig
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.cast_form import CastForm

THREADS = 256
# sizeof(Sm90CastTileSmem): the tile, magnitudes of columns by warp, of rows and
# of the block, and the inverse scales.
SMEM_BYTES = TILE * TILE + 8 * TILE * 4 + TILE * 4 + 8 * 4 + 2 * TILE * 4
_MOST_IN_Z = 65535
_MOST_GROUPED_ROWS = 1 << 26


def missing(form: CastForm, x: ShapedArray) -> str | None:
  """Returns what there is no kernel for, or None."""
  if x.dtype not in (jnp.bfloat16, jnp.float32):
    return f"{x.dtype.name}, only bfloat16 and float32"
  if form.gran != TILE:
    return f"blocks of {form.gran} rows, only of {TILE}"
  if math.prod(x.shape[:-2]) > _MOST_IN_Z:
    return f"a batch of more than {_MOST_IN_Z} matrices along their rows"
  if form.kind == "grouped" and x.shape[0] > _MOST_GROUPED_ROWS:
    return f"more than {_MOST_GROUPED_ROWS} rows in groups"
  return None


def run(
  x: jax.Array,
  *sizes: jax.Array,
  form: CastForm,
  options: Options,
  device: Device,
) -> list[jax.Array]:
  """Returns values and scales of x `[..., m, n]`, not empty."""
  del device
  num_groups = sizes[0].shape[0] if sizes else 0
  shapes = form.shapes(x.shape, num_groups)
  results = [
    jax.ShapeDtypeStruct(shape, dtype)
    for shape, dtype in zip(shapes, form.dtypes(len(shapes)), strict=True)
  ]
  call = kernel_call(x.shape, x.dtype, num_groups, form, options)
  return launch.call((call,), [x, *sizes], results)


def kernel_call(
  shape: tuple[int, ...],
  dtype: jnp.dtype,
  num_groups: int,
  form: CastForm,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that casts an x of this shape."""
  *batch, rows, columns = shape
  grouped = form.kind == "grouped"
  transposed_shape = form.shapes(shape, num_groups)[0] if grouped else (rows,)
  transposed_pitch = transposed_shape[-1]
  row_blocks = ceil_div(transposed_pitch, TILE)
  column_tiles = ceil_div(columns, TILE)
  # Scales per column have the columns of x unless they are a transpose's.
  column_pitch = columns if form.kind == "columns" else align(columns, 4)
  numbers = (
    rows,
    columns,
    num_groups,
    row_blocks,
    column_tiles,
    align(rows, 4),
    column_pitch,
    transposed_pitch,
  )
  return launch.KernelCall(
    recipe=recipe(config_for(shape, dtype, transposed_pitch, form)),
    grid=(row_blocks * column_tiles, 1, math.prod(batch)),
    cluster=(1, 1, 1),
    threads=THREADS,
    smem_bytes=SMEM_BYTES,
    pdl=options.pdl,
    params=(
      *_buffers(form.kind),
      *(launch.Scalar(number) for number in numbers),
    ),
    embed_cubin=options.embed_cubin,
  )


def _buffers(kind: str) -> tuple[launch.Buffer, ...]:
  """x, group_sizes, values, scales, transposed, column_scales.

  A kernel gets x for what its form does not have, and never uses it.
  """
  indices = {
    "columns": (0, 0, 1, 0, 0, 2),
    "blocks": (0, 0, 1, 2, 0, 0),
    "transposed": (0, 0, 0, 0, 1, 2),
    "both": (0, 0, 1, 2, 3, 4),
    "grouped": (0, 1, 0, 0, 2, 3),
  }
  return tuple(launch.Buffer(index) for index in indices[kind])


def config_for(
  shape: tuple[int, ...],
  dtype: jnp.dtype,
  transposed_pitch: int,
  form: CastForm,
) -> Sm90CastTileConfig:
  """Returns the configuration for an x of this shape."""
  transposed = form.kind in ("transposed", "both", "grouped")
  return Sm90CastTileConfig(
    float32_in=dtype == jnp.float32,
    use_ue8m0=form.use_ue8m0,
    per_block=form.kind == "blocks",
    per_row=form.kind == "both",
    per_column=form.kind == "columns",
    transposed=transposed,
    grouped=form.kind == "grouped",
    aligned_columns=shape[-1] % 8 == 0,
    aligned_rows=not transposed or transposed_pitch % 16 == 0,
  )


def recipe(config: Sm90CastTileConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_cast_tile.cuh"

using Kernel = jdg::Sm90CastTile<jdg::{render_struct(config)}>;
static_assert(sizeof(Kernel::Smem) == {SMEM_BYTES});

JDG_SM90_CAST_TILE_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_cast_tile",
    source=source,
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
