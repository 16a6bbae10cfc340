"""What the launches of the K-grouped Hopper GEMMs share.

C, if it is added in the kernel, is the buffer behind the operands; D is the
last. Where groups are cut in parts, D holds the parts and C is added after.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import jax

from jax_deepgemm.alignment import get_tma_aligned_size
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm import tile_raster_width
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import MAX_GROUPS
from jax_deepgemm.jit import Recipe
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.fp8_gemm_maps import result_map
from jax_deepgemm.primitives.gemm_launch import (
  gemm_call,
  persistent_clusters,
  result_dtype,
)
from jax_deepgemm.primitives.padding import pad_last


class _Problem(Protocol):
  @property
  def m(self) -> int: ...

  @property
  def n(self) -> int: ...

  @property
  def num_groups(self) -> int: ...

  @property
  def float32_out(self) -> bool: ...


class _Config(Protocol):
  @property
  def gemm(self) -> Any: ...

  @property
  def num_parts(self) -> int: ...

  @property
  def smem_bytes(self) -> int: ...


def check_num_groups(name: str, num_groups: int) -> None:
  """Returns nothing; raises NotImplementedError if `name` has no room."""
  if num_groups > MAX_GROUPS:
    raise NotImplementedError(
      f"{name} has a Hopper kernel for up to {MAX_GROUPS} groups,"
      f" got {num_groups}"
    )


def kernel_call(
  recipe: Recipe,
  problem: _Problem,
  config: _Config,
  device: Device,
  options: Options,
  *,
  tiles: tuple[int, int],
  k: int,
  params: Sequence[launch.Buffer | launch.TensorMap],
) -> launch.KernelCall:
  """Returns the launch that solves `problem`.

  Args:
    recipe: the kernel.
    problem: what is computed.
    config: how.
    device: on what.
    options: how to launch.
    tiles: of a group along M and N, both counted in clusters.
    k: rows or K blocks of all groups, as the kernel counts them.
    params: the kernel's arguments before its numbers.
  """
  gemm = config.gemm
  tiles_m, tiles_n = tiles
  num_items = problem.num_groups * config.num_parts
  num_clusters = persistent_clusters(
    tiles_m * tiles_n * num_items, gemm, device, options
  )
  raster_width = tile_raster_width(tiles_m, tiles_n, gemm, num_clusters)
  numbers = (config.num_parts, k, tiles_m, tiles_n, num_items, raster_width)
  return gemm_call(
    recipe,
    gemm,
    options,
    num_clusters=num_clusters,
    smem_bytes=config.smem_bytes,
    params=(*params, *(launch.Scalar(number) for number in numbers)),
  )


def d_map(
  problem: _Problem, config: _Config, num_operands: int
) -> launch.TensorMap:
  """Returns the map of D, behind operands and C."""
  return result_map(
    num_operands + config.gemm.with_c,
    _d_shape(problem, config),
    float32_out=config.gemm.float32_out,
    columns=config.gemm.store_box_columns,
  )


def launched(
  call: launch.KernelCall,
  operands: Sequence[jax.Array],
  c: jax.Array | None,
  problem: _Problem,
  config: _Config,
) -> jax.Array:
  """Returns C + D, `[g, m, n]`, of the operands without C."""
  shape = _d_shape(problem, config)
  pitch = shape[-1]
  adds_to_c = config.gemm.with_c
  c_operand = [pad_last(c, pitch)] if adds_to_c else []
  (d,) = launch.call(
    (call,),
    [*operands, *c_operand],
    [jax.ShapeDtypeStruct(shape, result_dtype(config.gemm.float32_out))],
    {len(operands): 0} if adds_to_c else {},
  )
  d = d if pitch == problem.n else d[:, :, : problem.n]
  if config.num_parts == 1:
    return d
  total = _sum_of_parts(d, config.num_parts)
  total = total if c is None else c.astype(total.dtype) + total
  return total.astype(result_dtype(problem.float32_out))


def _d_shape(problem: _Problem, config: _Config) -> tuple[int, int, int]:
  pitch = get_tma_aligned_size(problem.n, config.gemm.out_bytes)
  return problem.num_groups * config.num_parts, problem.m, pitch


def _sum_of_parts(d: jax.Array, num_parts: int) -> jax.Array:
  """Returns the sum of each group's parts, in one order on every platform."""
  parts = d.reshape(-1, num_parts, *d.shape[1:])
  total = parts[:, 0]
  for part in range(1, num_parts):
    total = total + parts[:, part]
  return total
