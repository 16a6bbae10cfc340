"""The Hopper BF16 GEMM as a custom call."""

import functools

import jax
import numpy as np

from jax_deepgemm.alignment import align, get_tma_aligned_size
from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.heuristics.bf16_gemm import choose, raster_width
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  ATOM_ROWS,
  BLOCK_K,
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  num_tiles,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, tuning_file
from jax_deepgemm.primitives.padding import pad_last

_STORE_ROWS = 16  # kStoreRows in cuda/common/tile_store.cuh.
_BYTES = 2  # Of an element of A or B.
_PITCH = 8  # Elements whose bytes TMA's pitches are multiples of.

# The buffers of the custom call, in order; C, if there is one, goes last.
_A, _B, _C = range(3)


def run(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None,
  *,
  out_dtype: np.dtype,
  a_mn_major: bool,
  b_mn_major: bool,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns D = C + A B^T per group, in `out_dtype`.

  TMA needs rows that are multiples of 16 bytes, so the last dimensions of A and
  B are padded to a multiple of 8, and N of C and D to 8 (bfloat16) or 4
  (float32), where they are not: a copy of the operand, and of the result.

  Args:
    a: bfloat16 `[g, m, k]`, or `[g, k, m]` if `a_mn_major`.
    b: bfloat16 `[g, n, k]`, or `[g, k, n]` if `b_mn_major`.
    c: `[g, m, n]` in `out_dtype`, or None.
    out_dtype: bfloat16 or float32.
    a_mn_major: how `a` lies.
    b_mn_major: how `b` lies.
    options: how to launch.
    device: what to launch on.
  """
  num_groups, m, k = _sizes(a, a_mn_major)
  n = _sizes(b, b_mn_major)[1]
  out_dtype = np.dtype(out_dtype)
  problem = Bf16GemmProblem(
    m=m,
    n=n,
    k=k,
    num_groups=num_groups,
    a_mn_major=a_mn_major,
    b_mn_major=b_mn_major,
    float32_out=out_dtype == np.float32,
    with_c=c is not None,
  )
  pitch = _d_pitch(problem)
  operands = [pad_last(a, _PITCH), pad_last(b, _PITCH)]
  if c is not None:
    operands.append(pad_last(c, pitch))
  config = choose(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
    user=tuning_file.user_table(device),
  )
  if ENVIRONMENT.print_configs:
    _print_once(problem, config)
  call = kernel_call(problem, config, device, options)
  result = jax.ShapeDtypeStruct((num_groups, m, pitch), out_dtype)
  aliases = {} if c is None else {_C: 0}
  (d,) = launch.call((call,), operands, [result], aliases)
  return d if pitch == n else d[:, :, :n]


def _sizes(x: jax.Array, mn_major: bool) -> tuple[int, int, int]:
  """Returns groups, rows and k of an operand."""
  groups, rows, k = x.shape
  return (groups, k, rows) if mn_major else (groups, rows, k)


@functools.cache
def _print_once(problem: Bf16GemmProblem, config: Sm90Bf16GemmConfig) -> None:
  """What DG_PRINT_CONFIGS asks for."""
  print(f"{problem}: {config}", flush=True)


def kernel_call(
  problem: Bf16GemmProblem,
  config: Sm90Bf16GemmConfig,
  device: Device,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over run's operands."""
  tiles_m, tiles_n = num_tiles(problem, config)
  num_sms = options.num_sms or device.num_sms
  num_clusters = min(
    num_sms // config.cluster_size, tiles_m * tiles_n * problem.num_groups
  )
  numbers = (
    problem.m,
    _d_pitch(problem),
    problem.num_k_blocks,
    tiles_m,
    tiles_n,
    problem.num_groups,
    raster_width(problem, config, num_clusters),
  )
  return launch.KernelCall(
    recipe=recipe(config),
    grid=(num_clusters * config.cluster_size, 1, 1),
    cluster=(config.cluster_size, 1, 1),
    threads=config.num_threads,
    smem_bytes=config.smem_bytes,
    pdl=options.pdl,
    params=(
      _operand_map(_A, problem, config),
      _operand_map(_B, problem, config),
      _result_map(problem, config),
      # Without C the kernel gets a pointer that it never uses.
      launch.Buffer(_C if problem.with_c else _A),
      *(launch.Scalar(number) for number in numbers),
    ),
    embed_cubin=options.embed_cubin,
  )


def recipe(config: Sm90Bf16GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  majors = f"{int(config.a_mn_major)}, {int(config.b_mn_major)}"
  source = f"""\
#include "kernels/sm90_bf16_gemm_entry.cuh"

JDG_DEFINE_WGMMA_BF16({config.block_n}, {majors})

using Kernel = jdg::Sm90Bf16Gemm<jdg::{render_struct(config)}>;
static_assert(sizeof(Kernel::Smem) == {config.smem_bytes});

JDG_SM90_BF16_GEMM_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_bf16_gemm",
    source=source,
    arch="sm_90a",
    # Lets ptxas trade compile time for registers: the sums need them all.
    flags="--ptxas-options=--register-usage-level=10",
    fingerprint=headers_fingerprint(),
  )


def _operand_map(
  index: int, problem: Bf16GemmProblem, config: Sm90Bf16GemmConfig
) -> launch.TensorMap:
  """Returns the map of A or B, whose boxes have rows of 128 bytes."""
  is_a = index == _A
  rows = problem.m if is_a else problem.n
  box_rows = config.a_rows if is_a else config.block_n
  mn_major = problem.a_mn_major if is_a else problem.b_mn_major
  k = problem.k
  pitch = align(rows if mn_major else k, _PITCH) * _BYTES
  dims: tuple[int, ...]
  strides: tuple[int, ...]
  box: tuple[int, ...]
  if mn_major:
    dims = (rows, k, problem.num_groups)
    strides = (pitch, k * pitch)
    box = (ATOM_ROWS, BLOCK_K, 1)
  elif config.stage_k_blocks == 1:
    dims = (k, rows, problem.num_groups)
    strides = (pitch, rows * pitch)
    box = (BLOCK_K, box_rows, 1)
  else:
    # K in blocks, so that one box holds several in the order that they have
    # in shared memory.
    dims = (BLOCK_K, rows, problem.num_k_blocks, problem.num_groups)
    strides = (pitch, BLOCK_K * _BYTES, rows * pitch)
    box = (BLOCK_K, box_rows, config.stage_k_blocks, 1)
  return launch.TensorMap(
    index=index, dtype="bf16", dims=dims, strides=strides, box=box, swizzle=128
  )


def _result_map(
  problem: Bf16GemmProblem, config: Sm90Bf16GemmConfig
) -> launch.TensorMap:
  size = problem.out_bytes
  pitch = _d_pitch(problem)
  columns = config.store_box_columns
  return launch.TensorMap(
    index=3 if problem.with_c else 2,
    dtype="f32" if problem.float32_out else "bf16",
    dims=(pitch, problem.m, problem.num_groups),
    strides=(pitch * size, problem.m * pitch * size),
    box=(columns, _STORE_ROWS, 1),
    swizzle=128 if columns * size == 128 else 0,
  )


def _d_pitch(problem: Bf16GemmProblem) -> int:
  """Returns the elements from one row of C or D to the next."""
  return get_tma_aligned_size(problem.n, problem.out_bytes)
