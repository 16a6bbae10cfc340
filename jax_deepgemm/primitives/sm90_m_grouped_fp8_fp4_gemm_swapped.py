"""The launch of the Hopper GEMM of groups of few rows with FP4 weights."""

from jax_deepgemm.alignment import ceil_div, get_tma_aligned_size
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_problem import (
  MGroupedFp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import BLOCK_K
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
)
from jax_deepgemm.heuristics.swapped_tile import num_tiles_n
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, m_grouped_kernel
from jax_deepgemm.primitives.fp8_gemm_maps import codes_map, operand_map
from jax_deepgemm.primitives.gemm_launch import cut_k_block, gemm_call
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe

# The buffers of the custom call, in order; the last is D.
_A, _SFA, _B, _SFB, _NUMBERS = range(5)
# Strips of so many tiles keep the number of tiles in them below 2^32.
_WIDEST_STRIP = 4096


def kernel_call(
  problem: MGroupedFp8Fp4GemmProblem,
  config: Sm90Fp8Fp4GemmSwappedConfig,
  device: Device,
  options: Options,
  *,
  layout: str,
  fills: bool,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over the operands of `run`.

  `run` is that of primitives/sm90_m_grouped_fp8_fp4_gemm.py.
  """
  tiles_n = num_tiles_n(problem, config)
  # However the rows are spread over groups, there are no more tiles.
  most_tiles_m = problem.m // config.block_m + problem.num_groups
  num_sms = options.num_sms or device.num_sms
  numbers = (
    get_tma_aligned_size(problem.m, 4),
    problem.n,
    problem.num_k_blocks,
    problem.num_fp4_groups,
    cut_k_block(problem.k, BLOCK_K),
    int(problem.scatters_rows),
  )
  groups = m_grouped_kernel.parameters(
    problem,
    layout=layout,
    fills=fills,
    first=_NUMBERS,
    tiles_n=tiles_n,
    # All tiles of a group that have the same rows of B, one after the other.
    raster_width=min(ceil_div(problem.m, config.block_m), _WIDEST_STRIP),
  )
  return gemm_call(
    recipe(config),
    config,
    options,
    num_clusters=min(num_sms * config.ctas_per_sm, most_tiles_m * tiles_n),
    smem_bytes=config.smem_bytes,
    params=(
      *_tensor_maps(problem, config),
      launch.Buffer(_SFA),
      launch.Buffer(_SFB),
      *(launch.Scalar(number) for number in numbers),
      *groups,
    ),
  )


def recipe(config: Sm90Fp8Fp4GemmSwappedConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  struct = render_struct(config)
  return gemm_recipe(
    "sm90_m_grouped_fp8_fp4_gemm_swapped",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3_RS({config.block_m})",
    kernel_type=f"Sm90MGroupedFp8Fp4GemmSwapped<jdg::{struct}>",
    smem_bytes=config.smem_bytes,
    needs_all_registers=False,
  )


def _tensor_maps(
  problem: MGroupedFp8Fp4GemmProblem, config: Sm90Fp8Fp4GemmSwappedConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps of A and B, as the kernel's entry lists them."""
  blocks = config.stage_k_blocks

  def tokens(blocks: int) -> launch.TensorMap:
    return operand_map(
      _A,
      (1, problem.m, problem.k),
      box_rows=config.block_m,
      box_k_blocks=blocks,
      splits_k=blocks > 1,
    )

  def codes(blocks: int) -> launch.TensorMap:
    shape = (problem.num_groups, problem.n, problem.k)
    return codes_map(_B, shape, box_rows=config.block_n, box_k_blocks=blocks)

  return tokens(blocks), codes(blocks), tokens(1), codes(1)
