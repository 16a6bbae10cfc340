"""The launch of the Hopper BF16 GEMM with swapped operands."""

import dataclasses

from jax_deepgemm.alignment import get_tma_aligned_size
from jax_deepgemm.heuristics.sm90_bf16_gemm import BLOCK_K, Bf16GemmProblem
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
)
from jax_deepgemm.heuristics.swapped_tile import num_ctas, num_tiles_n
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.bf16_gemm_maps import operand_map

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _B = range(2)


def kernel_call(
  problem: Bf16GemmProblem, config: Sm90Bf16GemmSwappedConfig, options: Options
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over the operands of `run`.

  `run` is that of primitives/sm90_bf16_gemm.py.
  """
  numbers = (
    problem.m,
    get_tma_aligned_size(problem.n, problem.out_bytes),
    problem.num_k_blocks,
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
      _a_map(problem, config),
      _b_map(problem, config),
      # Without C the kernel gets a pointer that it never uses.
      launch.Buffer(2 if problem.with_c else _A),
      launch.Buffer(3 if problem.with_c else 2),
      *(launch.Scalar(number) for number in numbers),
    ),
    embed_cubin=options.embed_cubin,
  )


def recipe(config: Sm90Bf16GemmSwappedConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  # B has the place of the instruction's first operand.
  majors = f"{int(config.b_mn_major)}, {int(config.a_mn_major)}"
  source = f"""\
#include "kernels/sm90_bf16_gemm_swapped_entry.cuh"

JDG_DEFINE_WGMMA_BF16({config.block_m}, {majors})

using Kernel = jdg::Sm90Bf16GemmSwapped<jdg::{render_struct(config)}>;
static_assert(sizeof(Kernel::Smem) == {config.smem_bytes});

JDG_SM90_BF16_GEMM_SWAPPED_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_bf16_gemm_swapped",
    source=source,
    arch="sm_90a",
    flags="",
    fingerprint=headers_fingerprint(),
  )


def _a_map(
  problem: Bf16GemmProblem, config: Sm90Bf16GemmSwappedConfig
) -> launch.TensorMap:
  return operand_map(
    _A,
    (problem.num_groups, problem.m, problem.k),
    mn_major=problem.a_mn_major,
    box_rows=config.block_m,
    box_k_blocks=config.stage_k_blocks,
    splits_k=config.stage_k_blocks > 1,
  )


def _b_map(
  problem: Bf16GemmProblem, config: Sm90Bf16GemmSwappedConfig
) -> launch.TensorMap:
  found = operand_map(
    _B,
    (problem.num_groups, problem.n, problem.k),
    mn_major=problem.b_mn_major,
    box_rows=config.block_n,
    box_k_blocks=config.stage_k_blocks,
    splits_k=config.stage_k_blocks > 1,
  )
  if not problem.b_mn_major:
    return found
  # All blocks of K of a stage at a time.
  columns, _, group = found.box
  lines = BLOCK_K * config.stage_k_blocks
  return dataclasses.replace(found, box=(columns, lines, group))
