"""The Hopper kernel for scales that span rows, as a custom call."""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.core import ShapedArray

from jax_deepgemm.alignment import align, ceil_div
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_cast import (
  TILE,
  Sm90CastTileConfig,
  ctas_per_sm,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, produced, sm90_cast_source
from jax_deepgemm.primitives.cast_form import CastForm, padded_k

THREADS = 256
# sizeof(Sm90CastTileSmem): the tile, magnitudes of columns by warp, of rows and
# of the block, and the inverse scales.
_SMEM_BYTES = TILE * TILE + 8 * TILE * 4 + TILE * 4 + 8 * 4 + 2 * TILE * 4
_MOST_IN_Z = 65535
_MOST_GROUPED_ROWS = 1 << 26


def missing(form: CastForm, *operands: ShapedArray) -> str | None:
  """Returns what there is no kernel for, or None."""
  x = operands[0]
  if x.dtype not in (jnp.bfloat16, jnp.float32):
    return f"{x.dtype.name}, only bfloat16 and float32"
  if form.gran != TILE:
    return f"blocks of {form.gran} rows, only of {TILE}"
  if math.prod(x.shape[:-2]) > _MOST_IN_Z:
    return f"a batch of more than {_MOST_IN_Z} matrices along their rows"
  shape = produced.shape(form.source, *(x.shape for x in operands))
  if form.is_grouped and shape[0] > _MOST_GROUPED_ROWS:
    return f"more than {_MOST_GROUPED_ROWS} rows in groups"
  return sm90_cast_source.missing(form, *operands)


def run(
  *operands: jax.Array, form: CastForm, options: Options, device: Device
) -> list[jax.Array]:
  """Returns values and scales of what `form.source` makes of the operands.

  None of them is empty.
  """
  del device
  operand_shapes = [x.shape for x in operands]
  shapes = form.result_shapes(*operand_shapes)
  results = [
    jax.ShapeDtypeStruct(shape, dtype)
    for shape, dtype in zip(shapes, form.dtypes(len(shapes)), strict=True)
  ]
  call = kernel_call(operand_shapes, operands[0].dtype, form, options)
  return launch.call((call,), operands, results)


def kernel_call(
  shapes: Sequence[tuple[int, ...]],
  dtype: jnp.dtype,
  form: CastForm,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that casts what is made of operands of these shapes."""
  sources, sizes = form.split(shapes)
  num_groups = sizes[0][0] if sizes else 0
  shape = produced.shape(form.source, *sources)
  *batch, rows, columns = shape
  transposed_pitch = padded_k(rows, num_groups) if form.is_grouped else rows
  row_blocks = ceil_div(transposed_pitch, TILE)
  column_tiles = ceil_div(columns, TILE)
  tiles_at_once = column_tiles // sm90_cast_source.num_outputs(form.source)
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
  config = config_for(shape, dtype, transposed_pitch, form)
  return launch.KernelCall(
    recipe=recipe(config),
    grid=(row_blocks * tiles_at_once, 1, math.prod(batch)),
    cluster=(1, 1, 1),
    threads=THREADS,
    smem_bytes=smem_bytes(config),
    pdl=options.pdl,
    params=(
      launch.Buffer(0),
      launch.Buffer(len(sources) if sizes else 0),
      *_results(form.kind, len(shapes)),
      *(launch.Scalar(number) for number in numbers),
      *sm90_cast_source.params(form.source, sources),
    ),
    embed_cubin=options.embed_cubin,
  )


def _results(kind: str, first: int) -> list[launch.Buffer]:
  """values, scales, transposed, column_scales; results begin at `first`.

  A kernel gets buffer 0 for what its form does not have, and never uses it.
  """
  places = {
    "columns": (0, None, None, 1),
    "blocks": (0, 1, None, None),
    "blocks_both": (0, 1, 2, None),
    "transposed": (None, None, 0, 1),
    "both": (0, 1, 2, 3),
    "grouped": (None, None, 0, 1),
    "rows_grouped": (0, 1, 2, 3),
  }
  return [
    launch.Buffer(0 if place is None else first + place)
    for place in places[kind]
  ]


def config_for(
  shape: tuple[int, ...],
  dtype: jnp.dtype,
  transposed_pitch: int,
  form: CastForm,
) -> Sm90CastTileConfig:
  """Returns the configuration for an x of this shape."""
  transposed = form.kind not in ("columns", "blocks")
  config = Sm90CastTileConfig(
    float32_in=dtype == jnp.float32,
    use_ue8m0=form.use_ue8m0,
    per_block=form.kind in ("blocks", "blocks_both"),
    per_row=form.kind in ("both", "rows_grouped"),
    per_column=form.kind == "columns",
    transposed=transposed,
    grouped=form.is_grouped,
    aligned_columns=shape[-1] % 8 == 0,
    aligned_rows=not transposed or transposed_pitch % 16 == 0,
    source=form.source,
    fast_math=form.fast_math,
  )
  return dataclasses.replace(config, ctas_per_sm=ctas_per_sm(config))


def smem_bytes(config: Sm90CastTileConfig) -> int:
  """Returns the size of `Kernel::Smem`: two tiles made at once wait there."""
  if sm90_cast_source.num_outputs(config.source) == 1:
    return _SMEM_BYTES
  return _SMEM_BYTES + 2 * TILE * TILE * (4 if config.float32_in else 2)


def recipe(config: Sm90CastTileConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_cast_tile.cuh"

using jdg::CastSource;
using Kernel = jdg::Sm90CastTile<jdg::{render_struct(config)}>;
static_assert(sizeof(Kernel::Smem) == {smem_bytes(config)});

JDG_SM90_CAST_TILE_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_cast_tile",
    source=source,
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
