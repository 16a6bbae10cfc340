"""The Hopper K-grouped BF16 GEMM as a custom call."""

import jax
import numpy as np

from jax_deepgemm.alignment import get_tma_aligned_size
from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.raster import strip_width
from jax_deepgemm.heuristics.sm90_k_grouped_bf16_gemm import (
  KGroupedBf16GemmProblem,
  Sm90KGroupedBf16GemmConfig,
  choose,
  num_k_grouped_tiles,
)
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import MAX_GROUPS
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.bf16_gemm_maps import PITCH, operand_map
from jax_deepgemm.primitives.fp8_gemm_maps import result_map
from jax_deepgemm.primitives.padding import pad_last
from jax_deepgemm.primitives.sm90_bf16_gemm import print_once
from jax_deepgemm.primitives.sm90_k_grouped_fp8_gemm import sum_of_parts

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _B, _GROUP_STARTS, _GROUP_SIZES, _C = range(5)


def run(
  a: jax.Array,
  b: jax.Array,
  group_starts: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns D_g = C_g + A_g^T B_g in float32.

  Group g is group_sizes[g] rows of A and B from row group_starts[g] on. Other
  rows may hold anything. What reaches past the arrays is cut.

  TMA needs rows that are multiples of 16 bytes, so M of A and N of B are padded
  to multiples of 8, and N of C and D to a multiple of 4, where they are not: a
  copy of the operand, and of the result.

  Args:
    a: bfloat16 `[k, m]`.
    b: bfloat16 `[k, n]`.
    group_starts: int32 `[g]`.
    group_sizes: int32 `[g]`.
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
      f"k_grouped_bf16_gemm has a Hopper kernel for up to {MAX_GROUPS} groups,"
      f" got {num_groups}"
    )
  problem = KGroupedBf16GemmProblem(
    m=a.shape[1],
    n=b.shape[1],
    k=a.shape[0],
    num_groups=num_groups,
    with_c=c is not None,
  )
  config = choose(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
  )
  if ENVIRONMENT.print_configs:
    print_once(problem, config)
  operands = [pad_last(a, PITCH), pad_last(b, PITCH), group_starts, group_sizes]
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


def kernel_call(
  problem: KGroupedBf16GemmProblem,
  config: Sm90KGroupedBf16GemmConfig,
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
    problem.k,
    tiles_m,
    tiles_n,
    num_items,
    strip_width(
      tiles_m,
      tiles_n,
      gemm.block_m * gemm.cluster_m,
      gemm.block_n * gemm.cluster_n,
      num_clusters,
    ),
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
      launch.Buffer(_GROUP_STARTS),
      launch.Buffer(_GROUP_SIZES),
      *(launch.Scalar(number) for number in scalars),
    ),
    embed_cubin=options.embed_cubin,
  )


def recipe(config: Sm90KGroupedBf16GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  gemm = config.gemm
  source = f"""\
#include "kernels/sm90_k_grouped_bf16_gemm_entry.cuh"

JDG_DEFINE_WGMMA_BF16({gemm.block_n}, 1, 1)

using Kernel = jdg::Sm90KGroupedBf16Gemm<
    jdg::{render_struct(gemm)}, {config.max_groups}>;
static_assert(sizeof(Kernel::Smem) == {config.smem_bytes});

JDG_SM90_K_GROUPED_BF16_GEMM_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_k_grouped_bf16_gemm",
    source=source,
    arch="sm_90a",
    # Lets ptxas trade compile time for registers: the sums need them all.
    flags="--ptxas-options=--register-usage-level=10",
    fingerprint=headers_fingerprint(),
  )


def _tensor_maps(
  problem: KGroupedBf16GemmProblem, config: Sm90KGroupedBf16GemmConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps as the kernel's entry lists them."""
  gemm = config.gemm
  return (
    _operand_map(_A, problem.m, problem.k, gemm.block_m),
    _operand_map(_B, problem.n, problem.k, gemm.block_n),
    result_map(
      _C + 1 if gemm.with_c else _C,
      (problem.num_groups * config.num_parts, problem.m, _pitch(problem)),
      float32_out=True,
      columns=gemm.store_box_columns,
    ),
  )


def _operand_map(
  index: int, rows: int, k: int, box_rows: int
) -> launch.TensorMap:
  return operand_map(
    index,
    (1, rows, k),
    mn_major=True,
    box_rows=box_rows,
    box_k_blocks=1,
    splits_k=False,
  )


def _pitch(problem: KGroupedBf16GemmProblem) -> int:
  """Returns the elements from one row of C or D to the next."""
  return get_tma_aligned_size(problem.n, 4)
