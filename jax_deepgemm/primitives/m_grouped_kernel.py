"""What the launches of the Hopper GEMMs of groups of rows share."""

from collections.abc import Sequence
from typing import Any

import jax

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm import tile_raster_width
from jax_deepgemm.heuristics.m_grouped_problem import MGroupedProblem
from jax_deepgemm.jit import Recipe
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.fp8_gemm_maps import result_map
from jax_deepgemm.primitives.gemm_launch import (
  d_pitch,
  gemm_call,
  persistent_clusters,
  result_dtype,
)
from jax_deepgemm.primitives.launch import Buffer, Scalar, TensorMap

# GroupLayout in cuda/common/row_groups.cuh. The index layout comes as ranges.
_LAYOUTS = {"ragged": 0, "psum": 1, "masked": 2, "index": 3}


def kernel_call(
  recipe: Recipe,
  problem: MGroupedProblem,
  config: Any,
  device: Device,
  options: Options,
  *,
  layout: str,
  fills: bool,
  first: int,
  tiles: tuple[int, int],
  params: Sequence[Buffer | Scalar | TensorMap],
) -> launch.KernelCall:
  """Returns the launch that solves `problem`.

  Args:
    recipe: the kernel.
    problem: what is computed.
    config: how.
    device: on what.
    options: how to launch.
    layout: "index", "psum", "ragged" or "masked".
    fills: rows of no group become zero.
    first: buffer at which `m_grouped_operands.layout_operands` begin.
    tiles: along M, if groups are as long as is expected, and along N, both
      counted in clusters.
    params: the kernel's arguments before those of the groups.
  """
  # However the rows are spread over groups, there are no more tiles.
  block_rows = config.block_m * config.cluster_m
  most_tiles = (problem.m // block_rows + problem.num_groups) * tiles[1]
  num_clusters = persistent_clusters(most_tiles, config, device, options)
  groups = parameters(
    problem,
    layout=layout,
    fills=fills,
    first=first,
    tiles_n=tiles[1],
    raster_width=tile_raster_width(*tiles, config, num_clusters),
  )
  return gemm_call(
    recipe,
    config,
    options,
    num_clusters=num_clusters,
    smem_bytes=config.smem_bytes,
    params=(*params, *groups),
  )


def parameters(
  problem: MGroupedProblem,
  *,
  layout: str,
  fills: bool,
  first: int,
  tiles_n: int,
  raster_width: int,
) -> tuple[Buffer | Scalar, ...]:
  """Returns JDG_ROW_GROUPS_PARAMETERS (cuda/common/row_groups_parameters.cuh).

  `raster_width` tiles of M are walked before the next of the `tiles_n` of N.
  """
  pitch = d_pitch(problem)
  numbers = (
    _LAYOUTS[layout],
    problem.row_alignment,
    int(fills),
    problem.m,
    pitch,
    pitch * problem.out_bytes // 16,
    tiles_n,
    problem.num_groups,
    raster_width,
  )
  d_index = _d_index(layout, first)
  return (
    Buffer(d_index),
    Buffer(first),
    # Without ids of rows the kernel gets a pointer that it never uses.
    Buffer(d_index - 1),
    *(Scalar(number) for number in numbers),
  )


def d_map(
  problem: MGroupedProblem, layout: str, first: int, columns: int
) -> TensorMap:
  """Returns the map of D, boxes `columns` wide; see `kernel_call`."""
  return result_map(
    _d_index(layout, first),
    (1, problem.m, d_pitch(problem)),
    float32_out=problem.float32_out,
    columns=columns,
  )


def _d_index(layout: str, first: int) -> int:
  """Returns which buffer is D: ids of rows come with their ranges."""
  return first + (2 if layout == "index" else 1)


def launched(
  call: launch.KernelCall,
  operands: Sequence[jax.Array],
  problem: MGroupedProblem,
  a_shape: tuple[int, ...],
) -> jax.Array:
  """Returns D, `[..., m, n]` where `a_shape` is `[..., m, k]`."""
  pitch = d_pitch(problem)
  dtype = result_dtype(problem.float32_out)
  result = jax.ShapeDtypeStruct((problem.m, pitch), dtype)
  (d,) = launch.call((call,), operands, [result])
  return d.reshape(*a_shape[:-1], pitch)[..., : problem.n]
