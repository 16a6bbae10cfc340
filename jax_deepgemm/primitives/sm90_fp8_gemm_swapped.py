"""The launch of the Hopper FP8 GEMM with swapped operands."""

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
)
from jax_deepgemm.heuristics.swapped_tile import num_tiles_n
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import dense_gemm_kernel, launch
from jax_deepgemm.primitives.fp8_gemm_maps import (
  operand_map,
  scale_map,
)
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
  config: Sm90Fp8GemmSwappedConfig,
  options: Options,
  memory: MemoryOrder = ROW_MAJOR,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over the operands of `run`.

  `run` is that of primitives/sm90_fp8_gemm.py.
  """
  return gemm_call(
    recipe(config),
    config,
    options,
    num_clusters=num_tiles_n(problem, config) * problem.num_groups,
    smem_bytes=config.smem_bytes,
    params=(
      *_tensor_maps(problem, config, memory),
      *_scalars(problem, config),
      *dense_gemm_kernel.d_steps(problem, memory),
    ),
  )


def recipe(config: Sm90Fp8GemmSwappedConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return gemm_recipe(
    "sm90_fp8_gemm_swapped",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3({config.block_m})",
    kernel_type=f"Sm90Fp8GemmSwapped<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
    needs_all_registers=False,
  )


def _tensor_maps(
  problem: Fp8GemmProblem,
  config: Sm90Fp8GemmSwappedConfig,
  memory: MemoryOrder,
) -> tuple[launch.TensorMap, ...]:
  """Maps of A, B and the scales, as `Sm90Fp8GemmSwappedParams` lists them."""
  blocks = config.stage_k_blocks

  def operand(
    index: int, rows: int, box_rows: int, inside: bool, blocks: int = blocks
  ) -> launch.TensorMap:
    return operand_map(
      index,
      (problem.num_groups, rows, problem.k),
      box_rows=box_rows,
      box_k_blocks=blocks,
      splits_k=blocks > 1,
      groups_inside=inside,
    )

  def scales(index: int, rows: int, box_rows: int) -> launch.TensorMap:
    shape = (problem.num_groups, problem.num_k_blocks, rows)
    return scale_map(index, shape, box_rows=box_rows, box_k_blocks=blocks)

  sfa = scales(_SFA, problem.m, config.block_m)
  sfb = sfa  # Not used.
  if config.sfb_per_row:
    sfb = scales(_SFB, problem.n, config.block_n)
  # Boxes do not have block_m rows: those that are not there take time.
  a = (_A, problem.m, problem.m, memory.a_groups_inside)
  b = (_B, problem.n, config.block_n, memory.b_groups_inside)
  return (
    operand(*a),
    operand(*b),
    operand(*a, blocks=1),
    operand(*b, blocks=1),
    sfa,
    sfb,
  )


def _scalars(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSwappedConfig
) -> tuple[launch.Buffer | launch.Scalar, ...]:
  numbers = (
    problem.m,
    d_pitch(problem),
    problem.num_k_blocks,
    ceil_div(problem.n, BLOCK_K),
    num_tiles_n(problem, config),
    cut_k_block(problem.k, BLOCK_K),
  )
  return (
    launch.Buffer(_SFB),
    dense_gemm_kernel.c_buffer(problem, _NUM_OPERANDS),
    launch.Buffer(dense_gemm_kernel.d_index(problem, _NUM_OPERANDS)),
    *(launch.Scalar(number) for number in numbers),
  )
