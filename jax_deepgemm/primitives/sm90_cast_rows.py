"""The Hopper kernel for one scale per row and 32 or 128 columns, as a call."""

import math

import jax
import jax.numpy as jnp
from jax.core import ShapedArray

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_cast import (
  STRIP,
  Sm90CastRowsConfig,
  rows_per_thread,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.cast_form import CastForm

_GRANULARITIES = (32, 128)
_MOST_WARPS = 4
_MOST_IN_Z = 65535


def missing(form: CastForm, x: ShapedArray) -> str | None:
  """Returns what there is no kernel for, or None."""
  if x.dtype not in (jnp.bfloat16, jnp.float32):
    return f"{x.dtype.name}, only bfloat16 and float32"
  if form.gran not in _GRANULARITIES:
    return f"rows in blocks of {form.gran}, only of 32 and 128"
  if form.mn_major and math.prod(x.shape[:-2]) > _MOST_IN_Z:
    return f"a batch of more than {_MOST_IN_Z} matrices to MN-major scales"
  return None


def run(
  x: jax.Array, *, form: CastForm, options: Options, device: Device
) -> list[jax.Array]:
  """Returns values and scales of x `[..., m, n]`, not empty."""
  shapes = form.shapes(x.shape)
  results = [
    jax.ShapeDtypeStruct(shape, dtype)
    for shape, dtype in zip(shapes, form.dtypes(2), strict=True)
  ]
  call = kernel_call(x.shape, x.dtype, form, options, device)
  return launch.call((call,), [x], results)


def kernel_call(
  shape: tuple[int, ...],
  dtype: jnp.dtype,
  form: CastForm,
  options: Options,
  device: Device,
) -> launch.KernelCall:
  """Returns the launch that casts an x of this shape."""
  *batch, rows, columns = shape
  num_matrices = math.prod(batch)
  if not form.mn_major:
    # Rows of all matrices lie one after the other, and so do their scales.
    num_matrices, rows = 1, num_matrices * rows
  config = config_for(num_matrices, rows, columns, dtype, form, device)
  column_tiles = ceil_div(columns, STRIP * config.num_warps)
  row_tiles = ceil_div(rows, 4 * config.rows_per_thread)
  return launch.KernelCall(
    recipe=recipe(config),
    grid=(row_tiles * column_tiles, 1, num_matrices),
    cluster=(1, 1, 1),
    threads=32 * config.num_warps,
    smem_bytes=0,
    pdl=options.pdl,
    params=(
      *(launch.Buffer(i) for i in range(3)),
      *(launch.Scalar(size) for size in (rows, columns, column_tiles)),
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
  strips = ceil_div(columns, STRIP)
  float32_in = dtype == jnp.float32
  return Sm90CastRowsConfig(
    float32_in=float32_in,
    gran_k=form.gran,
    use_ue8m0=form.use_ue8m0,
    mn_major=form.mn_major,
    aligned=columns % 8 == 0,
    rows_per_thread=rows_per_thread(
      num_matrices * rows, strips, float32_in, device
    ),
    num_warps=min(strips, _MOST_WARPS),
    fp4=form.fp4,
    packed=form.packed,
  )


def recipe(config: Sm90CastRowsConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_cast_rows.cuh"

using Kernel = jdg::Sm90CastRows<jdg::{render_struct(config)}>;

JDG_SM90_CAST_ROWS_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_cast_rows",
    source=source,
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
