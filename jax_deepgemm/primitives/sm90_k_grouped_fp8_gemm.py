"""The Hopper K-grouped FP8 GEMM as a custom call."""

import jax
import numpy as np

from jax_deepgemm.alignment import get_tma_aligned_size
from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm import tile_raster_width
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  MAX_GROUPS,
  KGroupedFp8GemmProblem,
  Sm90KGroupedFp8GemmConfig,
  choose,
  num_k_grouped_tiles,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, tuning_file
from jax_deepgemm.primitives.fp8_gemm_maps import (
  operand_map,
  result_map,
  scale_map,
)
from jax_deepgemm.primitives.sm90_fp8_gemm import pad_last, print_once

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _SFA, _B, _SFB, _GROUP_SIZES, _C = range(6)


def run(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns D_g = C_g + dequantize(A_g) dequantize(B_g)^T in float32.

  Groups lie side by side along K, each from a multiple of 128 on. Past a
  group's end, up to the next multiple of 128, values are zeros and their
  scales are finite.

  TMA needs rows that are multiples of 16 bytes, so N of C and D is padded to a
  multiple of 4 where it is not: a copy of C, and of the result.

  Args:
    a: float8_e4m3fn `[m, k_padded]`, k_padded a multiple of 128.
    sfa: float32 `[k_padded / 128, align(m, 4)]`.
    b: float8_e4m3fn `[n, k_padded]`.
    sfb: float32 `[k_padded / 128, align(n, 4)]`.
    group_sizes: int32 `[g]`, elements of K in each group.
    c: float32 `[g, m, n]` or None.
    options: how to launch.
    device: what to launch on.

  Returns:
    float32 `[g, m, n]`.

  Raises:
    NotImplementedError: there are more groups than the kernel takes.
  """
  (num_groups,) = group_sizes.shape
  if num_groups > MAX_GROUPS:
    raise NotImplementedError(
      f"k_grouped_fp8_gemm has a Hopper kernel for up to {MAX_GROUPS} groups,"
      f" got {num_groups}"
    )
  problem = KGroupedFp8GemmProblem(
    m=a.shape[0],
    n=b.shape[0],
    num_k_blocks=sfa.shape[0],
    num_groups=num_groups,
    with_c=c is not None,
  )
  config = choose(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
    user=tuning_file.user_table(device),
  )
  if ENVIRONMENT.print_configs:
    print_once(problem, config)
  operands = [a, sfa, b, sfb, group_sizes]
  pitch = _pitch(problem)
  adds_to_c = config.gemm.with_c
  if adds_to_c:
    operands.append(pad_last(c, pitch))
  shape = (num_groups * config.num_parts, problem.m, pitch)
  (d,) = launch.call(
    (kernel_call(problem, config, device, options),),
    operands,
    [jax.ShapeDtypeStruct(shape, np.dtype("float32"))],
    {_C: 0} if adds_to_c else {},
  )
  d = d if pitch == problem.n else d[:, :, : problem.n]
  if config.num_parts == 1:
    return d
  total = sum_of_parts(d, config.num_parts)
  return total if c is None else c + total


def sum_of_parts(d: jax.Array, num_parts: int) -> jax.Array:
  """Returns the sum of each group's parts, in one order on every platform."""
  parts = d.reshape(-1, num_parts, *d.shape[1:])
  total = parts[:, 0]
  for part in range(1, num_parts):
    total = total + parts[:, part]
  return total


def kernel_call(
  problem: KGroupedFp8GemmProblem,
  config: Sm90KGroupedFp8GemmConfig,
  device: Device,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over run's operands."""
  gemm = config.gemm
  tiles_m, tiles_n = num_k_grouped_tiles(problem, config)
  num_items = problem.num_groups * config.num_parts
  num_sms = options.num_sms or device.num_sms
  num_clusters = min(
    num_sms // gemm.cluster_size, tiles_m * tiles_n * num_items
  )
  scalars = (
    config.num_parts,
    problem.num_k_blocks,
    tiles_m,
    tiles_n,
    num_items,
    tile_raster_width(tiles_m, tiles_n, gemm, num_clusters),
  )
  return launch.KernelCall(
    recipe=recipe(config),
    grid=(num_clusters * gemm.cluster_size, 1, 1),
    cluster=(gemm.cluster_size, 1, 1),
    threads=gemm.num_threads,
    smem_bytes=config.smem_bytes,
    pdl=options.pdl,
    params=(
      *_tensor_maps(problem, config),
      launch.Buffer(_GROUP_SIZES),
      *(launch.Scalar(number) for number in scalars),
    ),
    embed_cubin=options.embed_cubin,
  )


def recipe(config: Sm90KGroupedFp8GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  gemm = config.gemm
  source = f"""\
#include "kernels/sm90_k_grouped_fp8_gemm_entry.cuh"

JDG_DEFINE_WGMMA_E4M3({gemm.block_n})

using Kernel = jdg::Sm90KGroupedFp8Gemm<
    jdg::{render_struct(gemm)}, {config.max_groups}>;
static_assert(sizeof(Kernel::Smem) == {config.smem_bytes});

JDG_SM90_K_GROUPED_FP8_GEMM_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_k_grouped_fp8_gemm",
    source=source,
    arch="sm_90a",
    # Lets ptxas trade compile time for registers: the sums need them all.
    flags="--ptxas-options=--register-usage-level=10",
    fingerprint=headers_fingerprint(),
  )


def _tensor_maps(
  problem: KGroupedFp8GemmProblem, config: Sm90KGroupedFp8GemmConfig
) -> tuple[launch.TensorMap, ...]:
  gemm = config.gemm
  return (
    _operand_map(_A, problem, problem.m, gemm.a_rows),
    _operand_map(_B, problem, problem.n, gemm.block_n),
    _scale_map(_SFA, problem, problem.m, gemm.block_m),
    _scale_map(_SFB, problem, problem.n, gemm.block_n),
    result_map(
      _C + 1 if gemm.with_c else _C,
      (problem.num_groups * config.num_parts, problem.m, _pitch(problem)),
      float32_out=True,
      columns=gemm.store_box_columns,
    ),
  )


def _operand_map(
  index: int, problem: KGroupedFp8GemmProblem, rows: int, box_rows: int
) -> launch.TensorMap:
  shape = (1, rows, problem.num_k_blocks * BLOCK_K)
  return operand_map(
    index, shape, box_rows=box_rows, box_k_blocks=1, splits_k=False
  )


def _scale_map(
  index: int, problem: KGroupedFp8GemmProblem, rows: int, box_rows: int
) -> launch.TensorMap:
  shape = (1, problem.num_k_blocks, rows)
  return scale_map(index, shape, box_rows=box_rows, box_k_blocks=1)


def _pitch(problem: KGroupedFp8GemmProblem) -> int:
  """Returns the elements from one row of C or D to the next."""
  return get_tma_aligned_size(problem.n, 4)
