"""The launch of the Hopper FP8 GEMM for few tiles, whose K is shared out."""

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import (
  Sm90Fp8GemmSplitConfig,
  split_tiles,
)
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import dense_gemm_kernel, launch
from jax_deepgemm.primitives.fp8_gemm_maps import operand_map, scale_map
from jax_deepgemm.primitives.gemm_launch import (
  cut_k_block,
  d_pitch,
  gemm_call,
)
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _SFA, _B, _SFB, _NUM_OPERANDS = range(5)


def kernel_call(
  problem: Fp8GemmProblem,
  config: Sm90Fp8GemmSplitConfig,
  options: Options,
  memory: MemoryOrder = ROW_MAJOR,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over the operands of `run`.

  `run` is that of primitives/sm90_fp8_gemm.py.
  """
  tiles_m, tiles_n = split_tiles(problem, config)
  return gemm_call(
    recipe(config),
    config,
    options,
    num_clusters=tiles_m * tiles_n * problem.num_groups,
    smem_bytes=config.smem_bytes,
    params=(
      *_tensor_maps(problem, config, memory),
      *_scalars(problem, config),
      *dense_gemm_kernel.d_steps(problem, memory),
    ),
  )


def recipe(config: Sm90Fp8GemmSplitConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return gemm_recipe(
    "sm90_fp8_gemm_split",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3({config.block_n})",
    kernel_type=f"Sm90Fp8GemmSplit<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
    needs_all_registers=False,
  )


def _rest_rows(problem: Fp8GemmProblem, config: Sm90Fp8GemmSplitConfig) -> int:
  """Returns the rows of A that the last tile along M has."""
  return (problem.m - 1) % config.block_m + 1


def _tensor_maps(
  problem: Fp8GemmProblem,
  config: Sm90Fp8GemmSplitConfig,
  memory: MemoryOrder,
) -> tuple[launch.TensorMap, ...]:
  """Maps of A, B and the scales, in the order of the kernel's parameters."""

  def a_map(box_rows: int, blocks: int = 1) -> launch.TensorMap:
    inside = memory.a_groups_inside
    return _operand_map(_A, problem, problem.m, box_rows, blocks, inside)

  def b_map(blocks: int) -> launch.TensorMap:
    inside = memory.b_groups_inside
    return _operand_map(_B, problem, problem.n, config.block_n, blocks, inside)

  return (
    a_map(config.block_m, config.stage_k_blocks),
    a_map(_rest_rows(problem, config)),
    b_map(config.stage_k_blocks),
    a_map(config.block_m),
    b_map(1),
    scale_map(
      _SFA,
      (problem.num_groups, problem.num_k_blocks, problem.m),
      box_rows=config.block_m,
      box_k_blocks=config.stage_k_blocks,
    ),
  )


def _operand_map(
  index: int,
  problem: Fp8GemmProblem,
  rows: int,
  box_rows: int,
  blocks: int,
  groups_inside: bool,
) -> launch.TensorMap:
  return operand_map(
    index,
    (problem.num_groups, rows, problem.k),
    box_rows=box_rows,
    box_k_blocks=blocks,
    splits_k=blocks > 1,
    groups_inside=groups_inside,
  )


def _scalars(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSplitConfig
) -> tuple[launch.Buffer | launch.Scalar, ...]:
  numbers = (
    problem.m,
    _rest_rows(problem, config),
    d_pitch(problem),
    problem.num_k_blocks,
    ceil_div(problem.n, BLOCK_K),
    *split_tiles(problem, config),
    cut_k_block(problem.k, BLOCK_K),
  )
  return (
    launch.Buffer(_SFB),
    dense_gemm_kernel.c_buffer(problem, _NUM_OPERANDS),
    launch.Buffer(dense_gemm_kernel.d_index(problem, _NUM_OPERANDS)),
    *(launch.Scalar(number) for number in numbers),
  )
