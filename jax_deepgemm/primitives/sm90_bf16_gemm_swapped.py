"""The launch of the Hopper BF16 GEMM with swapped operands."""

import dataclasses

from jax_deepgemm.heuristics.sm90_bf16_gemm import BLOCK_K, Bf16GemmProblem
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
)
from jax_deepgemm.heuristics.swapped_tile import num_tiles_n
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import dense_gemm_kernel, launch
from jax_deepgemm.primitives.bf16_gemm_maps import operand_map
from jax_deepgemm.primitives.gemm_launch import (
  cut_k_block,
  d_pitch,
  gemm_call,
)
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _B, _NUM_OPERANDS = range(3)


def kernel_call(
  problem: Bf16GemmProblem,
  config: Sm90Bf16GemmSwappedConfig,
  options: Options,
  memory: MemoryOrder = ROW_MAJOR,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over the operands of `run`.

  `run` is that of primitives/sm90_bf16_gemm.py.
  """
  numbers = (
    problem.m,
    d_pitch(problem),
    problem.num_k_blocks,
    num_tiles_n(problem, config),
    cut_k_block(problem.k, BLOCK_K),
  )
  blocks = config.stage_k_blocks
  return gemm_call(
    recipe(config),
    config,
    options,
    num_clusters=num_tiles_n(problem, config) * problem.num_groups,
    smem_bytes=config.smem_bytes,
    params=(
      _a_map(problem, blocks, memory.a_groups_inside),
      _b_map(problem, config, blocks, memory.b_groups_inside),
      _a_map(problem, 1, memory.a_groups_inside),
      _b_map(problem, config, 1, memory.b_groups_inside),
      dense_gemm_kernel.c_buffer(problem, _NUM_OPERANDS),
      launch.Buffer(dense_gemm_kernel.d_index(problem, _NUM_OPERANDS)),
      *(launch.Scalar(number) for number in numbers),
      *dense_gemm_kernel.d_steps(problem, memory),
    ),
  )


def recipe(config: Sm90Bf16GemmSwappedConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  # B has the place of the instruction's first operand.
  majors = f"{int(config.b_mn_major)}, {int(config.a_mn_major)}"
  return gemm_recipe(
    "sm90_bf16_gemm_swapped",
    wgmma=f"JDG_DEFINE_WGMMA_BF16({config.block_m}, {majors})",
    kernel_type=f"Sm90Bf16GemmSwapped<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
    needs_all_registers=False,
  )


def _a_map(
  problem: Bf16GemmProblem, blocks: int, inside: bool
) -> launch.TensorMap:
  return operand_map(
    _A,
    (problem.num_groups, problem.m, problem.k),
    mn_major=problem.a_mn_major,
    box_rows=problem.m,  # Not block_m: rows that are not there take time.
    box_k_blocks=blocks,
    splits_k=blocks > 1,
    groups_inside=inside,
  )


def _b_map(
  problem: Bf16GemmProblem,
  config: Sm90Bf16GemmSwappedConfig,
  blocks: int,
  inside: bool,
) -> launch.TensorMap:
  found = operand_map(
    _B,
    (problem.num_groups, problem.n, problem.k),
    mn_major=problem.b_mn_major,
    box_rows=config.block_n,
    box_k_blocks=blocks,
    splits_k=blocks > 1,
    groups_inside=inside,
  )
  if not problem.b_mn_major:
    return found
  # All blocks of K of a stage at a time.
  columns, _, group = found.box
  lines = BLOCK_K * blocks
  return dataclasses.replace(found, box=(columns, lines, group))
