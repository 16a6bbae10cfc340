"""The Hopper kernel that pads rows of bytes, as a custom call."""

import math
from collections.abc import Sequence

import jax

from jax_deepgemm.heuristics.sm90_pad_rows import (
  PIECE_BYTES,
  PaddedRows,
  Sm90PadRowsConfig,
  choose,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.block_launch import block_call
from jax_deepgemm.primitives.print_config import print_config


def rows_of(x: jax.Array, columns: int) -> PaddedRows:
  """Returns what is padded if x gets a last dimension of `columns`."""
  *lead, row_bytes = x.shape
  return PaddedRows(math.prod(lead), row_bytes, columns)


def run(
  arrays: Sequence[jax.Array], columns: Sequence[int], *, options: Options
) -> list[jax.Array]:
  """Returns the arrays with zeros behind their rows, in one launch.

  Args:
    arrays: one or two, of elements of a byte.
    columns: the last dimension of each result, a multiple of 16 and longer than
      that of the array.
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
  arrays: Sequence[PaddedRows], config: Sm90PadRowsConfig, options: Options
) -> launch.KernelCall:
  """Returns the launch that pads one or two operands to as many results."""
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
  rows: PaddedRows, place: int, num_arrays: int
) -> tuple[launch.Buffer | launch.Scalar, ...]:
  """Returns `PaddedRows` in cuda/kernels/sm90_pad_rows.cuh."""
  sizes = (rows.num_rows, rows.row_bytes, rows.pitch // PIECE_BYTES)
  return (
    launch.Buffer(place),
    launch.Buffer(num_arrays + place),
    *map(launch.Scalar, sizes),
  )


def recipe(config: Sm90PadRowsConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_pad_rows.cuh"

using Kernel = jdg::Sm90PadRows<jdg::{render_struct(config)}>;

JDG_SM90_PAD_ROWS_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_pad_rows",
    source=source,
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
