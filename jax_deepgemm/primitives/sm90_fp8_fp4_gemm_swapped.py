"""The launch of the Hopper FP8 GEMM with FP4 weights and swapped operands."""

from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  BLOCK_K,
  Fp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
)
from jax_deepgemm.heuristics.swapped_tile import num_tiles_n
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import dense_gemm_kernel, launch
from jax_deepgemm.primitives.fp8_gemm_maps import (
  codes_map,
  operand_map,
  scale_map,
)
from jax_deepgemm.primitives.gemm_launch import (
  cut_k_block,
  d_pitch,
  gemm_call,
)
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _SFA, _B, _SFB, _NUM_OPERANDS = range(5)


def kernel_call(
  problem: Fp8Fp4GemmProblem,
  config: Sm90Fp8Fp4GemmSwappedConfig,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over the operands of `run`.

  `run` is that of primitives/sm90_fp8_fp4_gemm.py.
  """
  numbers = (
    problem.m,
    problem.n,
    d_pitch(problem),
    problem.num_k_blocks,
    problem.num_fp4_groups,
    num_tiles_n(problem, config),
    cut_k_block(problem.k, BLOCK_K),
  )
  return gemm_call(
    recipe(config),
    config,
    options,
    num_clusters=num_tiles_n(problem, config) * problem.num_groups,
    smem_bytes=config.smem_bytes,
    params=(
      *_tensor_maps(problem, config),
      launch.Buffer(_SFB),
      dense_gemm_kernel.c_buffer(problem, _NUM_OPERANDS),
      launch.Buffer(dense_gemm_kernel.d_index(problem, _NUM_OPERANDS)),
      *(launch.Scalar(number) for number in numbers),
    ),
  )


def recipe(config: Sm90Fp8Fp4GemmSwappedConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return gemm_recipe(
    "sm90_fp8_fp4_gemm_swapped",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3_RS({config.block_m})",
    kernel_type=f"Sm90Fp8Fp4GemmSwapped<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
    needs_all_registers=False,
  )


def _tensor_maps(
  problem: Fp8Fp4GemmProblem, config: Sm90Fp8Fp4GemmSwappedConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps of A, B and A's scales, as the kernel's entry lists them."""
  groups, blocks = problem.num_groups, config.stage_k_blocks

  def tokens(blocks: int) -> launch.TensorMap:
    return operand_map(
      _A,
      (groups, problem.m, problem.k),
      box_rows=problem.m,  # Not block_m: rows that are not there take time.
      box_k_blocks=blocks,
      splits_k=blocks > 1,
    )

  def codes(blocks: int) -> launch.TensorMap:
    shape = (groups, problem.n, problem.k)
    return codes_map(_B, shape, box_rows=config.block_n, box_k_blocks=blocks)

  return (
    tokens(blocks),
    codes(blocks),
    tokens(1),
    codes(1),
    scale_map(
      _SFA,
      (groups, problem.num_k_blocks, problem.m),
      box_rows=config.block_m,
      box_k_blocks=blocks,
    ),
  )
