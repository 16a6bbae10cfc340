"""The Hopper exchange of tokens' rows between ranks, as a launch."""

import dataclasses

import jax
import jax.numpy as jnp

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.heuristics.sm90_mega_moe_dispatch import (
  MegaMoeDispatchProblem,
  Sm90MegaMoeDispatchConfig,
  num_ctas,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.block_launch import block_call


@dataclasses.dataclass(frozen=True)
class DispatchBuffers:
  """Where the buffers of a dispatch lie in its custom call.

  Attributes:
    rows: e4m3 or bfloat16 `[t, hidden]`.
    scales: float32 `[t, hidden / 128]`; None for bfloat16.
    experts: int32 `[t, top_k]`: any value; those that are no expert's number
      are skipped.
    weights: float32 `[t, top_k]`.
    num_tokens: int32 `[1]`, how many rows count; None is all.
    arena: this rank's arena.
    places: result, int32 `[t, top_k]`: the row in the pool of the expert's
      rank, -1 for none.
    group_sizes: result, int32 `[experts_per_rank]`, rows of the pool.
    transposed_scales: result, float32 `[hidden / 128, capacity]` of the pool's
      rows; None for bfloat16.
    row_addresses: result, uint32 `[capacity, 2]` of the pool's rows: where the
      result of each goes, in the arena of the rank that sent it.
    cta_counts: workspace, int32 `[num_ctas, num_experts]`.
  """

  rows: launch.Buffer
  scales: launch.Buffer | None
  experts: launch.Buffer
  weights: launch.Buffer
  num_tokens: launch.Buffer | None
  arena: launch.Buffer
  places: launch.Buffer
  group_sizes: launch.Buffer
  transposed_scales: launch.Buffer | None
  row_addresses: launch.Buffer
  cta_counts: launch.Buffer


def results(
  problem: MegaMoeDispatchProblem, device: Device, options: Options
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns shapes of the results by their names in `DispatchBuffers`."""
  arena = problem.arena
  ctas = num_ctas(problem, device, options.num_sms)
  shapes = {
    "places": ((problem.num_tokens, arena.top_k), jnp.int32),
    "group_sizes": ((arena.num_experts // arena.num_ranks,), jnp.int32),
    "row_addresses": ((arena.capacity, 2), jnp.uint32),
    "cta_counts": ((ctas, arena.num_experts), jnp.int32),
  }
  if problem.num_scales:
    shape = (problem.num_scales, arena.capacity)
    shapes["transposed_scales"] = (shape, jnp.float32)
  return {
    name: jax.ShapeDtypeStruct(shape, dtype)
    for name, (shape, dtype) in shapes.items()
  }


def kernel_call(
  problem: MegaMoeDispatchProblem,
  config: Sm90MegaMoeDispatchConfig,
  device: Device,
  options: Options,
  buffers: DispatchBuffers,
) -> launch.KernelCall:
  """Returns the launch that fills the pools of all ranks, and this rank's part.

  All ranks launch it at once: each waits for the others.

  Args:
    problem: sizes of this rank; the arena is the same on all.
    config: a form of the kernel.
    device: what to launch on.
    options: how to launch.
    buffers: where operands and results lie.
  """
  arena = problem.arena
  ctas = num_ctas(problem, device, options.num_sms)
  return block_call(
    recipe(config),
    config,
    options,
    num_blocks=ctas,
    params=(
      *map(_or_null, _in_order(buffers)),
      *map(launch.Scalar, _sizes(problem)),
      *(launch.Scalar(offset, "i64") for offset in _offsets(arena)),
    ),
  )


def _in_order(buffers: DispatchBuffers) -> list[launch.Buffer | None]:
  names = [field.name for field in dataclasses.fields(buffers)]
  return [getattr(buffers, name) for name in names]


def _or_null(buffer: launch.Buffer | None) -> launch.Buffer | launch.Scalar:
  return launch.Scalar(0, "i64") if buffer is None else buffer


def _sizes(problem: MegaMoeDispatchProblem) -> tuple[int, ...]:
  arena = problem.arena
  return (
    problem.num_tokens,
    arena.top_k,
    arena.num_experts,
    arena.num_ranks,
    problem.row_bytes,
    2 * arena.hidden,  # Of a result, which is bfloat16.
    problem.num_scales,
    arena.capacity,
    arena.num_slots,
    problem.shape_hash,
  )


def _offsets(arena: MegaMoeArena) -> tuple[int, ...]:
  return (
    arena.counts_offset,
    arena.flags_offset,
    arena.pool_x_offset,
    arena.pool_sf_offset,
    arena.pool_weights_offset,
    arena.pool_sources_offset,
    arena.results_offset,
  )


def recipe(config: Sm90MegaMoeDispatchConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_mega_moe_dispatch_entry.cuh"

using Kernel = jdg::Sm90MegaMoeDispatch<jdg::{render_struct(config)}>;
static_assert(sizeof(Kernel::Smem) == {config.smem_bytes});

JDG_SM90_MEGA_MOE_DISPATCH_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_mega_moe_dispatch",
    source=source,
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
