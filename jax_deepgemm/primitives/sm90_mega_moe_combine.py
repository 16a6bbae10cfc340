"""The Hopper sum of experts' results of all ranks, as a launch."""

import dataclasses

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_mega_moe_combine import (
  MegaMoeCombineProblem,
  Sm90MegaMoeCombineConfig,
  num_ctas,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.block_launch import block_call


@dataclasses.dataclass(frozen=True)
class CombineBuffers:
  """Where the buffers of a combine lie in its custom call.

  Attributes:
    places: int32 `[t, top_k]`, as dispatch wrote them.
    num_tokens: int32 `[1]`, how many rows count; None is all.
    arena: this rank's arena; earlier launches of all ranks put results there.
    sums: result, bfloat16 `[t, hidden]`.
  """

  places: launch.Buffer
  num_tokens: launch.Buffer | None
  arena: launch.Buffer
  sums: launch.Buffer


def kernel_call(
  problem: MegaMoeCombineProblem,
  config: Sm90MegaMoeCombineConfig,
  device: Device,
  options: Options,
  buffers: CombineBuffers,
) -> launch.KernelCall:
  """Returns the launch that sums the results of each token's experts.

  Sums are of float32, from zero on and in the order of slots; tokens without a
  result are zeros. All ranks launch it at once: each waits for the others.

  Args:
    problem: sizes of this rank; the arena is the same on all.
    config: a form of the kernel.
    device: what to launch on.
    options: how to launch.
    buffers: where operands and results lie.
  """
  arena = problem.arena
  sizes = (
    problem.num_tokens,
    arena.top_k,
    arena.num_ranks,
    arena.hidden,
    arena.capacity,
  )
  null = launch.Scalar(0, "i64")
  return block_call(
    recipe(config),
    config,
    options,
    num_blocks=num_ctas(problem, device, options.num_sms),
    params=(
      buffers.places,
      buffers.num_tokens or null,
      buffers.arena,
      buffers.sums,
      *map(launch.Scalar, sizes),
      launch.Scalar(arena.flags_offset, "i64"),
      launch.Scalar(arena.results_offset, "i64"),
    ),
  )


def recipe(config: Sm90MegaMoeCombineConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_mega_moe_combine_entry.cuh"

using Kernel = jdg::Sm90MegaMoeCombine<jdg::{render_struct(config)}>;
static_assert(sizeof(Kernel::Smem) == {config.smem_bytes});

JDG_SM90_MEGA_MOE_COMBINE_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_mega_moe_combine",
    source=source,
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
