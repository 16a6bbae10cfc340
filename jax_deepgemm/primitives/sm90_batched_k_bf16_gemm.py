"""The Hopper BF16 GEMM over a K of many runs as a custom call."""

import jax
import numpy as np

from jax_deepgemm.alignment import get_tma_aligned_size
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.raster import strip_width
from jax_deepgemm.heuristics.sm90_batched_k_bf16_gemm import (
  BatchedKBf16GemmProblem,
  Sm90BatchedKBf16GemmConfig,
  choose,
  num_batched_k_tiles,
  num_stages_of_k,
)
from jax_deepgemm.jit import Recipe
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import k_grouped_kernel, launch
from jax_deepgemm.primitives.bf16_gemm_maps import PITCH, operand_map
from jax_deepgemm.primitives.gemm_launch import gemm_call, persistent_clusters
from jax_deepgemm.primitives.padding import pad_last
from jax_deepgemm.primitives.print_config import print_config
from jax_deepgemm.primitives.sm90_bf16_gemm import recipe_of

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _B, _NUM_OPERANDS = range(3)


def run(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None,
  *,
  k_run: int,
  out_dtype: np.dtype,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns D = C + A B^T, `[1, m, n]` in `out_dtype`.

  A and B are read where they lie as runs, `[k / k_run, m, k_run]`. A k_run that
  is no multiple of 8, and an n of C and D, are padded as in sm90_bf16_gemm.py.

  Args:
    a: bfloat16 `[1, m, k]`.
    b: bfloat16 `[1, n, k]`.
    c: `[1, m, n]` in `out_dtype`, or None.
    k_run: elements of a run, of which k is a multiple.
    out_dtype: bfloat16 or float32.
    options: how to launch.
    device: what to launch on.
  """
  a, b = (_as_runs(x, k_run) for x in (a, b))
  num_runs, m, _ = a.shape
  problem = BatchedKBf16GemmProblem(
    m=m,
    n=b.shape[1],
    k_run=k_run,
    num_runs=num_runs,
    with_c=c is not None,
    float32_out=np.dtype(out_dtype) == np.float32,
  )
  config = choose(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
    batch_invariant=options.batch_invariant,
  )
  print_config(problem, config)
  call = kernel_call(problem, config, device, options)
  operands = (pad_last(a, PITCH), pad_last(b, PITCH))
  return k_grouped_kernel.launched(call, operands, c, problem, config)


def _as_runs(x: jax.Array, k_run: int) -> jax.Array:
  """Returns `[1, rows, k]` as `[k / k_run, rows, k_run]`."""
  _, rows, k = x.shape
  return x.reshape(rows, k // k_run, k_run).swapaxes(0, 1)


def kernel_call(
  problem: BatchedKBf16GemmProblem,
  config: Sm90BatchedKBf16GemmConfig,
  device: Device,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over run's operands."""
  gemm = config.gemm
  tiles_m, tiles_n = num_batched_k_tiles(problem, config)
  num_clusters = persistent_clusters(
    tiles_m * tiles_n * config.num_parts, gemm, device, options
  )
  part_stages, longer_parts = divmod(
    num_stages_of_k(problem, gemm), config.num_parts
  )
  raster_width = strip_width(
    tiles_m,
    tiles_n,
    gemm.block_m * gemm.cluster_m,
    gemm.block_n * gemm.cluster_n,
    num_clusters,
  )
  numbers = (
    problem.m,
    get_tma_aligned_size(problem.n, gemm.out_bytes),
    problem.run_k_blocks,
    part_stages,
    longer_parts,
    tiles_m,
    tiles_n,
    config.num_parts,
    raster_width,
  )
  return gemm_call(
    recipe(config),
    gemm,
    options,
    num_clusters=num_clusters,
    smem_bytes=config.smem_bytes,
    params=(
      _operand_map(_A, problem, config, problem.m, gemm.a_rows),
      _operand_map(_B, problem, config, problem.n, gemm.block_n),
      k_grouped_kernel.d_map(problem, config, _NUM_OPERANDS),
      launch.Buffer(_NUM_OPERANDS if gemm.with_c else _A),
      *(launch.Scalar(number) for number in numbers),
    ),
  )


def recipe(config: Sm90BatchedKBf16GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return recipe_of(
    "sm90_batched_k_bf16_gemm", config.gemm, "Sm90BatchedKBf16Gemm"
  )


def _operand_map(
  index: int,
  problem: BatchedKBf16GemmProblem,
  config: Sm90BatchedKBf16GemmConfig,
  rows: int,
  box_rows: int,
) -> launch.TensorMap:
  blocks = config.gemm.stage_k_blocks
  return operand_map(
    index,
    (problem.num_runs, rows, problem.k_run),
    mn_major=False,
    box_rows=box_rows,
    box_k_blocks=blocks,
    splits_k=blocks > 1,
  )
