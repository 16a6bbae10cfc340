"""The launch of the Hopper FP8 GEMM with swapped operands."""

from jax_deepgemm.alignment import ceil_div, get_tma_aligned_size
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
)
from jax_deepgemm.heuristics.swapped_tile import num_ctas, num_tiles_n
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.fp8_gemm_maps import operand_map, scale_map

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _SFA, _B, _SFB = range(4)


def kernel_call(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSwappedConfig, options: Options
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over the operands of `run`.

  `run` is that of primitives/sm90_fp8_gemm.py.
  """
  return launch.KernelCall(
    recipe=recipe(config),
    grid=(num_ctas(problem, config), 1, 1),
    cluster=(config.num_splits, 1, 1),
    threads=config.num_threads,
    smem_bytes=config.smem_bytes,
    pdl=options.pdl,
    params=(*_tensor_maps(problem, config), *_scalars(problem, config)),
    embed_cubin=options.embed_cubin,
  )


def recipe(config: Sm90Fp8GemmSwappedConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_fp8_gemm_swapped_entry.cuh"

JDG_DEFINE_WGMMA_E4M3({config.block_m})

using Kernel = jdg::Sm90Fp8GemmSwapped<jdg::{render_struct(config)}>;
static_assert(sizeof(Kernel::Smem) == {config.smem_bytes});

JDG_SM90_FP8_GEMM_SWAPPED_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_fp8_gemm_swapped",
    source=source,
    arch="sm_90a",
    flags="",
    fingerprint=headers_fingerprint(),
  )


def _tensor_maps(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSwappedConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps of A, B and the scales, as `Sm90Fp8GemmSwappedParams` lists them."""
  blocks = config.stage_k_blocks

  def operand(index: int, rows: int, box_rows: int) -> launch.TensorMap:
    return operand_map(
      index,
      (problem.num_groups, rows, problem.k),
      box_rows=box_rows,
      box_k_blocks=blocks,
      splits_k=blocks > 1,
    )

  def scales(index: int, rows: int, box_rows: int) -> launch.TensorMap:
    shape = (problem.num_groups, problem.num_k_blocks, rows)
    return scale_map(index, shape, box_rows=box_rows, box_k_blocks=blocks)

  sfa = scales(_SFA, problem.m, config.block_m)
  sfb = sfa  # Not used.
  if config.sfb_per_row:
    sfb = scales(_SFB, problem.n, config.block_n)
  return (
    operand(_A, problem.m, config.block_m),
    operand(_B, problem.n, config.block_n),
    sfa,
    sfb,
  )


def _scalars(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSwappedConfig
) -> tuple[launch.Buffer | launch.Scalar, ...]:
  numbers = (
    problem.m,
    get_tma_aligned_size(problem.n, problem.out_bytes),
    problem.num_k_blocks,
    ceil_div(problem.n, BLOCK_K),
    num_tiles_n(problem, config),
  )
  return (
    launch.Buffer(_SFB),
    # Without C the kernel gets a pointer that it never uses.
    launch.Buffer(4 if problem.with_c else _A),
    launch.Buffer(5 if problem.with_c else 4),
    *(launch.Scalar(number) for number in numbers),
  )
