"""The Hopper kernel for a product with sums of squares, as a custom call."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import align
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.hc_prenorm_gemm import choose
from jax_deepgemm.heuristics.sm90_hc_prenorm_gemm import (
  BLOCK_K,
  HcPrenormProblem,
  Sm90HcPrenormGemmConfig,
  num_clusters,
  num_tiles,
)
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.gemm_launch import gemm_call
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.padding import pad_last
from jax_deepgemm.primitives.print_config import print_config

# The buffers of the custom call, in order.
_A, _B, _D, _SQR_SUM = range(4)
_PITCH = 8  # Elements: rows of A are whole 16 bytes, as TMA needs.
_LINE = 32  # Elements of B in a line of 128 bytes.


def run(
  a: jax.Array,
  b: jax.Array,
  *,
  num_splits: int | None,
  options: Options,
  device: Device,
) -> Sequence[jax.Array]:
  """Returns D and the sums of squares of `hc_prenorm_gemm`.

  Rows that are no whole 16 bytes are copied to padded ones.

  Args:
    a: bfloat16 `[g, m, k]`.
    b: float32 `[g, n, k]`.
    num_splits: partial results, or None for one.
    options: how to launch.
    device: what to launch on.
  """
  groups, m, k = a.shape
  n = b.shape[1]
  partials = 1 if num_splits is None else num_splits
  problem = HcPrenormProblem(m, n, k, groups, partials)
  config = choose(
    problem,
    device,
    block_size_multiple_of=options.block_size_multiple_of,
    batch_invariant=options.batch_invariant,
  )
  print_config(problem, config)
  operands = [pad_last(a, _PITCH), pad_last(b, _PITCH)]
  call = kernel_call(problem, config, options)
  return launch.call((call,), operands, result_shapes(problem))


def result_shapes(problem: HcPrenormProblem) -> list[jax.ShapeDtypeStruct]:
  """Returns shape and dtype of D and of the sums of squares."""
  rows = (problem.num_partials, problem.num_groups, problem.m)
  return [
    jax.ShapeDtypeStruct(shape, jnp.float32)
    for shape in ((*rows, problem.n), rows)
  ]


def kernel_call(
  problem: HcPrenormProblem, config: Sm90HcPrenormGemmConfig, options: Options
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over the operands of `run`."""
  tiles_m, tiles_n = num_tiles(problem, config)
  numbers = (
    problem.m,
    problem.n,
    problem.num_k_blocks,
    tiles_m,
    tiles_n,
    problem.num_groups,
    problem.num_partials,
  )
  return gemm_call(
    recipe(config),
    config,
    options,
    num_clusters=num_clusters(problem, config),
    smem_bytes=config.smem_bytes,
    params=(
      _map(_A, "bf16", 2, problem.m, problem, (BLOCK_K, config.block_m, 1)),
      _map(_B, "f32", 4, problem.n, problem, (_LINE, config.block_n, 1)),
      launch.Buffer(_D),
      launch.Buffer(_SQR_SUM),
      *(launch.Scalar(number) for number in numbers),
    ),
  )


def recipe(config: Sm90HcPrenormGemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return gemm_recipe(
    "sm90_hc_prenorm_gemm",
    wgmma=f"JDG_DEFINE_WGMMA_BF16({2 * config.block_n}, 0, 0)",
    kernel_type=f"Sm90HcPrenormGemm<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
    needs_all_registers=False,
  )


def _map(
  index: int,
  dtype: str,
  element_bytes: int,
  rows: int,
  problem: HcPrenormProblem,
  box: tuple[int, int, int],
) -> launch.TensorMap:
  """Returns the map of an operand; what lies behind K reads as zero."""
  pitch = align(problem.k, _PITCH) * element_bytes
  return launch.TensorMap(
    index=index,
    dtype=dtype,
    dims=(problem.k, rows, problem.num_groups),
    strides=(pitch, rows * pitch),
    box=box,
    swizzle=128,
  )
