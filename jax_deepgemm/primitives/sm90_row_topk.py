"""The Hopper selection of the largest values of rows, as a custom call."""

import jax
import jax.numpy as jnp

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_row_topk import (
  RowTopkProblem,
  Sm90RowTopkConfig,
  choose,
  num_parts,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.block_launch import block_call
from jax_deepgemm.primitives.print_config import print_config

# The buffers of the custom call, in order; the last two if rows are cut.
_VALUES, _STARTS, _ENDS = range(3)
_NUM_OPERANDS = 3


def run(
  values: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
  *,
  num_keys: int,
  k: int,
  options: Options,
  device: Device,
) -> tuple[jax.Array, jax.Array]:
  """Returns the k largest values of each row, and their keys, in order.

  Args:
    values: float32 `[rows, width]`, as MQA logits whose rows begin with their
      first key; what lies behind a row's keys is not read.
    starts: int32 `[rows]`, the key of each row's first column; any value.
    ends: int32 `[rows]`, one past the last key.
    num_keys: ranges are cut to this many keys, and to the width.
    k: at most the width.
    options: how to launch.
    device: what to launch on.

  Returns:
    float32 and int32 `[rows, k]`: in descending order, of equal values the
    lower key first; -inf and -1 where there is none.

  Raises:
    NotImplementedError: k or a size is too large.
  """
  num_rows, width = values.shape
  problem = RowTopkProblem(num_rows, width, k)
  config = choose(problem, device)
  print_config(problem, config)
  parts = num_parts(problem, device)
  calls = [
    _call(problem, config, parts, num_keys, _NUM_OPERANDS, options=options)
  ]
  shapes = [(num_rows, parts * k)]
  if parts > 1:
    merge = RowTopkProblem(num_rows, parts * k, k, listed=True)
    chosen = choose(merge, device)
    print_config(merge, chosen)
    calls.append(
      _call(merge, chosen, 1, num_keys, _NUM_OPERANDS + 2, options=options)
    )
    shapes.append((num_rows, k))
  results = [
    jax.ShapeDtypeStruct(shape, dtype)
    for shape in shapes
    for dtype in (jnp.float32, jnp.int32)
  ]
  *_, largest, keys = launch.call(tuple(calls), (values, starts, ends), results)
  return largest, keys


def _call(
  problem: RowTopkProblem,
  config: Sm90RowTopkConfig,
  parts: int,
  num_keys: int,
  first_result: int,
  *,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch whose results are two buffers from `first_result` on.

  A list of values and keys is in the two buffers before.
  """
  values, keys = _VALUES, _STARTS
  if problem.listed:
    values, keys = first_result - 2, first_result - 1
  # A kernel gets some buffer for what it does not have, and never uses it.
  buffers = (values, keys, _STARTS, _ENDS, first_result, first_result + 1)
  return block_call(
    recipe(config),
    config,
    options,
    num_blocks=problem.num_rows * parts,
    params=(
      *map(launch.Buffer, buffers),
      *map(launch.Scalar, (num_keys, problem.width, problem.k, parts)),
    ),
  )


def recipe(config: Sm90RowTopkConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_row_topk_entry.cuh"

using Kernel = jdg::Sm90RowTopk<jdg::{render_struct(config)}>;
static_assert(sizeof(Kernel::Smem) == {config.smem_bytes});

JDG_SM90_ROW_TOPK_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_row_topk",
    source=source,
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
