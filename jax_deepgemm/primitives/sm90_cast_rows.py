"""The Hopper kernel for values of rows, as a call.

They are quantised with one scale for 32 or 128 columns, or stay bfloat16.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.core import ShapedArray

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_cast import (
  COUNTED_CTAS_PER_SM,
  STRIP,
  CastSource,
  Sm90CastRowsConfig,
  rows_per_thread,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, produced, sm90_cast_source
from jax_deepgemm.primitives.cast_form import CastForm

KINDS = ("rows", "live_rows", "live_values")

_GRANULARITIES = (32, 128)
_MOST_WARPS = 4
_MOST_IN_Z = 65535


def missing(form: CastForm, *operands: ShapedArray) -> str | None:
  """Returns what there is no kernel for, or None."""
  dtype = operands[0].dtype
  if dtype not in (jnp.bfloat16, jnp.float32):
    return f"{dtype.name}, only bfloat16 and float32"
  if dtype != jnp.bfloat16 and not form.has_scales:
    return f"{dtype.name} to {form.kind}, only bfloat16"
  if form.gran not in _GRANULARITIES:
    return f"rows in blocks of {form.gran}, only of 32 and 128"
  batch = math.prod(operands[0].shape[:-2])
  if _batch_is_in_z(form) and batch > _MOST_IN_Z:
    return f"a batch of more than {_MOST_IN_Z} matrices to MN-major scales"
  return sm90_cast_source.missing(form, *operands)


def run(
  *operands: jax.Array, form: CastForm, options: Options, device: Device
) -> list[jax.Array]:
  """Returns the results for what `form.source` makes of the operands.

  None of them is empty.
  """
  shapes = [x.shape for x in operands]
  found = form.result_shapes(*shapes)
  results = [
    jax.ShapeDtypeStruct(shape, dtype)
    for shape, dtype in zip(found, form.dtypes(len(found)), strict=True)
  ]
  call = kernel_call(shapes, operands[0].dtype, form, options, device)
  return launch.call((call,), operands, results)


def _batch_is_in_z(form: CastForm) -> bool:
  """Returns whether matrices are told apart.

  If not, rows of all of them lie one after the other, and so do their scales.
  """
  return _is_mn_major(form) or form.source is CastSource.GATHER


def _is_mn_major(form: CastForm) -> bool:
  return form.mn_major or _is_counted(form)


def _is_counted(form: CastForm) -> bool:
  return form.kind in ("live_rows", "live_values")


def kernel_call(
  shapes: Sequence[tuple[int, ...]],
  dtype: jnp.dtype,
  form: CastForm,
  options: Options,
  device: Device,
) -> launch.KernelCall:
  """Returns the launch that casts what is made of operands of these shapes."""
  sources, sizes = form.split(shapes)
  *batch, rows, columns = produced.shape(form.source, *sources)
  num_matrices = math.prod(batch)
  if not _batch_is_in_z(form):
    num_matrices, rows = 1, num_matrices * rows
  config = config_for(num_matrices, rows, columns, dtype, form, device)
  columns_at_once = columns // sm90_cast_source.num_outputs(form.source)
  column_tiles = ceil_div(columns_at_once, STRIP * config.num_warps)
  tiles = ceil_div(rows, 4 * config.rows_per_thread) * column_tiles
  if config.counted:
    num_sms = options.num_sms or device.num_sms
    tiles = min(tiles, num_sms * COUNTED_CTAS_PER_SM)
  return launch.KernelCall(
    recipe=recipe(config),
    grid=(tiles, 1, num_matrices),
    cluster=(1, 1, 1),
    threads=32 * config.num_warps,
    smem_bytes=0,
    pdl=options.pdl,
    params=(
      launch.Buffer(0),
      launch.Buffer(len(shapes)),
      # Without scales the kernel gets a pointer that it never uses.
      launch.Buffer(len(shapes) + form.has_scales),
      *(launch.Scalar(size) for size in (rows, columns, column_tiles)),
      *sm90_cast_source.params(form.source, sources),
      # Without groups the kernel gets a pointer that it never uses.
      launch.Buffer(len(sources) if sizes else 0),
      launch.Scalar(sizes[0][0] if sizes else 0),
    ),
    embed_cubin=options.embed_cubin,
  )


def config_for(
  num_matrices: int,
  rows: int,
  columns: int,
  dtype: jnp.dtype,
  form: CastForm,
  device: Device,
) -> Sm90CastRowsConfig:
  """Returns the configuration for matrices of this size."""
  outputs = sm90_cast_source.num_outputs(form.source)
  strips = ceil_div(columns // outputs, STRIP)
  float32_in = dtype == jnp.float32
  return Sm90CastRowsConfig(
    float32_in=float32_in,
    gran_k=form.gran,
    use_ue8m0=form.use_ue8m0,
    mn_major=_is_mn_major(form),
    aligned=columns % 8 == 0,
    rows_per_thread=rows_per_thread(
      num_matrices * rows, strips, float32_in, form.source, device
    ),
    num_warps=min(strips, _MOST_WARPS),
    fp4=form.fp4,
    packed=form.packed,
    source=form.source,
    counted=_is_counted(form),
    fast_math=form.fast_math,
    bfloat16_out=not form.has_scales,
  )


def recipe(config: Sm90CastRowsConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_cast_rows.cuh"

using jdg::CastSource;
using Kernel = jdg::Sm90CastRows<jdg::{render_struct(config)}>;

JDG_SM90_CAST_ROWS_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_cast_rows",
    source=source,
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
