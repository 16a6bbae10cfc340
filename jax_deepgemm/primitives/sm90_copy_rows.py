"""The Hopper kernel that copies rows to another pitch, as a custom call."""

import math
from collections.abc import Sequence

import jax

from jax_deepgemm.heuristics.sm90_copy_rows import (
  CopiedRows,
  Sm90CopyRowsConfig,
  choose,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.block_launch import block_call
from jax_deepgemm.primitives.print_config import print_config


def rows_of(x: jax.Array, columns: int) -> CopiedRows:
  """Returns what is copied if x gets a last dimension of `columns`."""
  element = x.dtype.itemsize
  return CopiedRows(
    num_rows=math.prod(x.shape[:-1]),
    source_pitch=x.shape[-1] * element,
    target_pitch=columns * element,
  )


def run(
  arrays: Sequence[jax.Array], columns: Sequence[int], *, options: Options
) -> list[jax.Array]:
  """Returns the arrays with other last dimensions, in one launch.

  Args:
    arrays: one or two, of any dtype.
    columns: of each, its last dimension in the result: if it is longer than
      that of the array, what is behind is zero. All are longer, or all shorter.
    options: how to launch.
  """
  rows = [rows_of(*pair) for pair in zip(arrays, columns, strict=True)]
  config = choose(rows)
  for of_array in rows:
    print_config(of_array, config)
  results = [
    jax.ShapeDtypeStruct((*x.shape[:-1], n), x.dtype)
    for x, n in zip(arrays, columns, strict=True)
  ]
  return launch.call((kernel_call(rows, config, options),), arrays, results)


def kernel_call(
  arrays: Sequence[CopiedRows], config: Sm90CopyRowsConfig, options: Options
) -> launch.KernelCall:
  """Returns the launch that copies one or two operands to as many results."""
  num_blocks = [config.num_blocks(rows) for rows in arrays]
  # Without a second array no block looks at what is said of it.
  places = (0, len(arrays) - 1)
  return block_call(
    recipe(config),
    config,
    options,
    num_blocks=sum(num_blocks),
    params=(
      *(
        param
        for place in places
        for param in _params(arrays[place], place, len(arrays))
      ),
      launch.Scalar(num_blocks[0]),
    ),
  )


def _params(
  rows: CopiedRows, place: int, num_arrays: int
) -> tuple[launch.Buffer | launch.Scalar, ...]:
  """Returns `CopiedRows` in cuda/kernels/sm90_copy_rows.cuh."""
  sizes = (rows.num_rows, rows.row_bytes, rows.source_pitch, rows.target_pitch)
  return (
    launch.Buffer(place),
    launch.Buffer(num_arrays + place),
    *map(launch.Scalar, sizes),
  )


def recipe(config: Sm90CopyRowsConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_copy_rows.cuh"

using Kernel = jdg::Sm90CopyRows<jdg::{render_struct(config)}>;

JDG_SM90_COPY_ROWS_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_copy_rows",
    source=source,
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
