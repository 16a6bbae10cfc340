"""What the Hopper kernels of groups of rows share: how they learn of groups."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import ceil_div, get_tma_aligned_size
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_problem import (
  MAX_GROUPS,
  MGroupedProblem,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.launch import Buffer, Scalar

# GroupLayout in cuda/common/row_groups.cuh. The index layout comes as ranges.
_LAYOUTS = {"ragged": 0, "psum": 1, "masked": 2, "index": 3}


def check_num_groups(name: str, num_groups: int) -> None:
  """Returns nothing; raises NotImplementedError if `name` has no room."""
  if num_groups > MAX_GROUPS:
    raise NotImplementedError(
      f"{name} takes at most {MAX_GROUPS} groups on Hopper, got {num_groups};"
      " split the groups over several calls"
    )


def problem_fields(
  a: jax.Array,
  n: int,
  num_groups: int,
  *,
  layout: str,
  alignment: int,
  expected_m: int | None,
  float32_out: bool,
) -> dict[str, Any]:
  """Returns the fields of `MGroupedProblem`.

  Args:
    a: `[m, k]`, or `[g, m, k]` if masked.
    n: columns of the result.
    num_groups: g.
    layout: "index", "psum", "ragged" or "masked".
    alignment: of groups' first rows, for index and psum.
    expected_m: rows of a group, for the choice of tiles.
    float32_out: the result is float32.
  """
  *lead, m, k = a.shape
  num_rows = num_groups * m if lead else m
  if layout in ("masked", "ragged"):
    alignment = m if layout == "masked" else 1
  return {
    "m": num_rows,
    "n": n,
    "k": k,
    "num_groups": num_groups,
    "expected_m": min(expected_m or ceil_div(num_rows, num_groups), num_rows),
    "row_alignment": alignment,
    "float32_out": float32_out,
  }


def rows_of(x: jax.Array) -> jax.Array:
  """Returns `[1, m, k]`: rows of all groups."""
  return x.reshape(1, -1, x.shape[-1])


def layout_operands(
  group_layout: jax.Array, layout: str, num_groups: int
) -> list[jax.Array]:
  """Returns the operands that tell of groups; they go last."""
  if layout == "index":
    return [_ranges(group_layout, num_groups), group_layout]
  return [group_layout]


def _ranges(row_ids: jax.Array, num_groups: int) -> jax.Array:
  """Returns `[2 g]`: each group's first row, and behind them each one's end."""
  rows = jnp.arange(row_ids.size, dtype=jnp.int32)
  groups = jnp.arange(num_groups, dtype=jnp.int32)[:, None]
  has = row_ids[None] == groups
  begins = jnp.min(jnp.where(has, rows, row_ids.size), axis=1)
  ends = jnp.max(jnp.where(has, rows + 1, 0), axis=1)
  return jnp.concatenate([begins, ends])


def d_index(layout: str, first: int) -> int:
  """Returns the buffer of D, where `layout_operands` begin at `first`."""
  return first + (2 if layout == "index" else 1)


def d_pitch(problem: MGroupedProblem) -> int:
  """Returns the elements from one row of D to the next."""
  return get_tma_aligned_size(problem.n, problem.out_bytes)


def num_clusters(
  problem: MGroupedProblem,
  config: Any,
  device: Device,
  options: Options,
  tiles_n: int,
) -> int:
  """Returns how many clusters to launch.

  Args:
    problem: what is computed.
    config: how.
    device: on what.
    options: how to launch.
    tiles_n: tiles along N, counted in clusters.
  """
  num_sms = options.num_sms or device.num_sms
  # However the rows are spread over groups, there are no more tiles.
  block_rows = config.block_m * config.cluster_m
  most_tiles = (problem.m // block_rows + problem.num_groups) * tiles_n
  return min(num_sms // config.cluster_size, most_tiles)


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

  Args:
    problem: what is computed.
    layout: "index", "psum", "ragged" or "masked".
    fills: rows of no group become zero.
    first: buffer at which `layout_operands` begin.
    tiles_n: tiles along N, counted in clusters.
    raster_width: tiles of M that are walked before the next tile of N.
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
  return (
    Buffer(d_index(layout, first)),
    Buffer(first),
    # Without ids of rows the kernel gets a pointer that it never uses.
    Buffer(d_index(layout, first) - 1),
    *(Scalar(number) for number in numbers),
  )


def launched(
  call: launch.KernelCall,
  operands: Sequence[jax.Array],
  problem: MGroupedProblem,
  a_shape: tuple[int, ...],
) -> jax.Array:
  """Returns D, `[..., m, n]` where `a_shape` is `[..., m, k]`."""
  pitch = d_pitch(problem)
  dtype = jnp.float32 if problem.float32_out else jnp.bfloat16
  result = jax.ShapeDtypeStruct((problem.m, pitch), dtype)
  (d,) = launch.call((call,), operands, [result])
  return d.reshape(*a_shape[:-1], pitch)[..., : problem.n]
