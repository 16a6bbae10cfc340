"""The launch of the Hopper FP8 GEMM with FP4 weights and swapped operands."""

from jax_deepgemm.alignment import get_tma_aligned_size
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import Fp8Fp4GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
)
from jax_deepgemm.heuristics.swapped_tile import num_ctas, num_tiles_n
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.fp8_gemm_maps import (
  codes_map,
  operand_map,
  scale_map,
)

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _SFA, _B, _SFB = range(4)


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
    get_tma_aligned_size(problem.n, problem.out_bytes),
    problem.num_k_blocks,
    problem.num_fp4_groups,
    num_tiles_n(problem, config),
  )
  return launch.KernelCall(
    recipe=recipe(config),
    grid=(num_ctas(problem, config), 1, 1),
    cluster=(config.num_splits, 1, 1),
    threads=config.num_threads,
    smem_bytes=config.smem_bytes,
    pdl=options.pdl,
    params=(
      *_tensor_maps(problem, config),
      launch.Buffer(_SFB),
      # Without C the kernel gets a pointer that it never uses.
      launch.Buffer(4 if problem.with_c else _A),
      launch.Buffer(5 if problem.with_c else 4),
      *(launch.Scalar(number) for number in numbers),
    ),
    embed_cubin=options.embed_cubin,
  )


def recipe(config: Sm90Fp8Fp4GemmSwappedConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_fp8_fp4_gemm_swapped_entry.cuh"

JDG_DEFINE_WGMMA_E4M3_RS({config.block_m})

using Kernel = jdg::Sm90Fp8Fp4GemmSwapped<jdg::{render_struct(config)}>;
static_assert(sizeof(Kernel::Smem) == {config.smem_bytes});

JDG_SM90_FP8_FP4_GEMM_SWAPPED_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_fp8_fp4_gemm_swapped",
    source=source,
    arch="sm_90a",
    flags="",
    fingerprint=headers_fingerprint(),
  )


def _tensor_maps(
  problem: Fp8Fp4GemmProblem, config: Sm90Fp8Fp4GemmSwappedConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps of A, B and A's scales, as the kernel's entry lists them."""
  groups, blocks = problem.num_groups, config.stage_k_blocks
  return (
    operand_map(
      _A,
      (groups, problem.m, problem.k),
      box_rows=config.block_m,
      box_k_blocks=blocks,
      splits_k=blocks > 1,
    ),
    codes_map(
      _B,
      (groups, problem.n, problem.k),
      box_rows=config.block_n,
      box_k_blocks=blocks,
    ),
    scale_map(
      _SFA,
      (groups, problem.num_k_blocks, problem.m),
      box_rows=config.block_m,
      box_k_blocks=blocks,
    ),
  )
