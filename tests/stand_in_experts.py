"""A kernel in the place of experts: (row + its expert) times its weight."""

import pathlib

from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.jit import Recipe, headers_fingerprint
from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall, Scalar


def kernel_call(
  arena: MegaMoeArena,
  at: Buffer,
  group_sizes: Buffer,
  row_addresses: Buffer,
  scales: Buffer | None,
  *,
  num_ctas: int = 2,
) -> KernelCall:
  """Returns the launch.

  Args:
    arena: sizes.
    at: the rank's arena.
    group_sizes: rows of its experts, as dispatch wrote them.
    row_addresses: where results go, likewise.
    scales: likewise, `[blocks, capacity]`; None for bfloat16.
    num_ctas: how many share the rows.
  """

  def part(offset: int) -> Buffer:
    return Buffer(at.index, at.offset + offset)

  return KernelCall(
    recipe=recipe(),
    grid=(num_ctas, 1, 1),
    cluster=(1, 1, 1),
    threads=64,
    smem_bytes=0,
    pdl=False,
    params=(
      group_sizes,
      part(arena.pool_x_offset),
      scales or Scalar(0, "i64"),
      part(arena.pool_weights_offset),
      row_addresses,
      Scalar(arena.experts_per_rank),
      Scalar(arena.hidden),
      Scalar(arena.capacity),
    ),
  )


def recipe() -> Recipe:
  """Returns the kernel."""
  return Recipe(
    kernel="stand_in_experts",
    source=pathlib.Path(__file__).with_suffix(".cuh").read_text(),
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
