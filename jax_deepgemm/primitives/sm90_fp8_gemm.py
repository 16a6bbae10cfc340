"""The Hopper FP8 GEMM as a custom call."""

import jax
import numpy as np

from jax_deepgemm.alignment import align, ceil_div
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm import choose, raster_width
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  BLOCK_K,
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  k_multiple_of,
  num_tiles,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import Sm90Fp8GemmSplitConfig
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
)
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.layout import get_mn_major_tma_aligned_tensor
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  dense_gemm_kernel,
  launch,
  sm90_fp8_gemm_split,
  sm90_fp8_gemm_swapped,
  tuning_file,
)
from jax_deepgemm.primitives.fp8_gemm_maps import (
  operand_map,
  scale_map,
)
from jax_deepgemm.primitives.gemm_launch import (
  cut_k_block,
  d_pitch,
  gemm_call,
  persistent_clusters,
  rest_rows,
)
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.memory_order import (
  ROW_MAJOR,
  MemoryOrder,
  as_it_lies,
)
from jax_deepgemm.primitives.padding import pad_bytes
from jax_deepgemm.primitives.print_config import print_config

# The buffers of the custom call, in order; C, if there is one, goes last.
_A, _SFA, _B, _SFB, _NUM_OPERANDS = range(5)


def run(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  c: jax.Array | None,
  *,
  out_dtype: np.dtype,
  recipe_a: tuple[int, int],
  recipe_b: tuple[int, int],
  options: Options,
  device: Device,
  memory: MemoryOrder = ROW_MAJOR,
) -> jax.Array:
  """Returns D = C + dequantize(A) dequantize(B)^T per group, in `out_dtype`.

  TMA needs rows that are multiples of 16 bytes, so K is padded where it is not
  (see `k_multiple_of`), and N of C and D to 8 (bfloat16) or 4 (float32): a copy
  of the operand, and of the result.

  Args:
    a: float8_e4m3fn `[g, m, k]`.
    sfa: float32 `[g, m, ceil(k / 128)]`.
    b: float8_e4m3fn `[g, n, k]`.
    sfb: float32 `[g, ceil(n / 128), ceil(k / 128)]`, or `[g, n, ...]`.
    c: `[g, m, n]` in `out_dtype`, or None.
    out_dtype: bfloat16 or float32.
    recipe_a: what a scale of A covers, (rows, columns).
    recipe_b: the same of B.
    options: how to launch.
    device: what to launch on.
    memory: where operands lie, and D shall; scales always lie row-major.

  Raises:
    NotImplementedError: the kernel has no such recipe.
  """
  recipes_b = ((BLOCK_K, BLOCK_K), (1, BLOCK_K))
  if recipe_a != (1, BLOCK_K) or recipe_b not in recipes_b:
    raise NotImplementedError(
      f"fp8_gemm has no Hopper kernel for recipes {recipe_a} and {recipe_b},"
      " only for (1, 128) with (128, 128) or (1, 128); FP4 with scales (1, 32)"
      " has one if pack_ue8m0_to_int packed them and the other side is fp8 with"
      " (1, 128)"
    )
  num_groups, m, k = a.shape
  n = b.shape[1]
  out_dtype = np.dtype(out_dtype)
  k_multiple = k_multiple_of(m, n, k)
  problem = Fp8GemmProblem(
    m=m,
    n=n,
    k=align(k, k_multiple),
    num_groups=num_groups,
    sfb_per_row=recipe_b[0] == 1,
    float32_out=out_dtype == np.float32,
    with_c=c is not None,
  )
  a, b = pad_bytes(
    as_it_lies(a, memory.a_groups_inside),
    as_it_lies(b, memory.b_groups_inside),
    k_multiple,
    options,
  )
  operands = [
    a,
    get_mn_major_tma_aligned_tensor(sfa),
    b,
    get_mn_major_tma_aligned_tensor(sfb) if problem.sfb_per_row else sfb,
  ]
  config = choose(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
    user=tuning_file.user_table(device),
    batch_invariant=options.batch_invariant,
    prefetch_weights=options.pdl,
  )
  print_config(problem, config)
  if isinstance(config, Sm90Fp8GemmSwappedConfig):
    call = sm90_fp8_gemm_swapped.kernel_call(problem, config, options, memory)
  elif isinstance(config, Sm90Fp8GemmSplitConfig):
    call = sm90_fp8_gemm_split.kernel_call(problem, config, options, memory)
  else:
    call = kernel_call(problem, config, device, options, memory)
  return dense_gemm_kernel.launched(call, operands, c, problem, memory)


def kernel_call(
  problem: Fp8GemmProblem,
  config: Sm90Fp8GemmConfig,
  device: Device,
  options: Options,
  memory: MemoryOrder = ROW_MAJOR,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over run's operands."""
  tiles_m, tiles_n = num_tiles(problem, config)
  num_clusters = persistent_clusters(
    tiles_m * tiles_n * problem.num_groups, config, device, options
  )
  return gemm_call(
    recipe(config),
    config,
    options,
    num_clusters=num_clusters,
    smem_bytes=config.smem_bytes,
    params=(
      *_tensor_maps(problem, config, memory),
      *_scalars(problem, config, tiles_m, tiles_n, num_clusters),
    ),
  )


def recipe(config: Sm90Fp8GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return gemm_recipe(
    "sm90_fp8_gemm",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3({config.block_n})",
    kernel_type=f"Sm90Fp8Gemm<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
  )


def _tensor_maps(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmConfig, memory: MemoryOrder
) -> tuple[launch.TensorMap, ...]:
  """Maps of A, B, the scales and D, as `Sm90Fp8GemmParams` lists them."""

  def d_map(columns: int) -> launch.TensorMap:
    return dense_gemm_kernel.d_map(problem, _NUM_OPERANDS, columns, memory)

  def a_map(rows: int, blocks: int) -> launch.TensorMap:
    inside = memory.a_groups_inside
    return _operand_map(_A, problem, problem.m, rows, blocks, inside)

  def b_map(columns: int, blocks: int) -> launch.TensorMap:
    inside = memory.b_groups_inside
    return _operand_map(_B, problem, problem.n, columns, blocks, inside)

  scales_a = _scale_map(_SFA, problem, config, problem.m, config.block_m)
  scales_b = scales_a  # Not used.
  if problem.sfb_per_row:
    scales_b = _scale_map(_SFB, problem, config, problem.n, config.block_n)
  blocks = config.stage_k_blocks
  b_main = b_map(config.main_columns, blocks)
  d_main = d_rest = d_map(config.store_box_columns)
  b_rest = b_main  # Not used, as that of D.
  if config.rest_columns:
    b_rest = b_map(config.rest_columns, blocks)
    d_rest = d_map(config.rest_box_columns)
  return (
    a_map(config.a_rows, blocks),
    a_map(rest_rows(problem.m, config.a_rows), 1),
    b_main,
    b_rest,
    a_map(config.a_rows, 1),
    b_map(config.main_columns, 1),
    scales_a,
    scales_b,
    d_main,
    d_rest,
  )


def _operand_map(
  index: int,
  problem: Fp8GemmProblem,
  rows: int,
  box_rows: int,
  blocks: int,
  groups_inside: bool,
) -> launch.TensorMap:
  return operand_map(
    index,
    (problem.num_groups, rows, problem.k),
    box_rows=box_rows,
    box_k_blocks=blocks,
    splits_k=blocks > 1,
    groups_inside=groups_inside,
  )


def _scale_map(
  index: int,
  problem: Fp8GemmProblem,
  config: Sm90Fp8GemmConfig,
  rows: int,
  box_rows: int,
) -> launch.TensorMap:
  return scale_map(
    index,
    (problem.num_groups, problem.num_k_blocks, rows),
    box_rows=box_rows,
    box_k_blocks=config.stage_k_blocks,
  )


def _scalars(
  problem: Fp8GemmProblem,
  config: Sm90Fp8GemmConfig,
  tiles_m: int,
  tiles_n: int,
  num_clusters: int,
) -> tuple[launch.Buffer | launch.Scalar, ...]:
  numbers = (
    problem.m,
    d_pitch(problem),
    problem.num_k_blocks,
    problem.n if problem.sfb_per_row else ceil_div(problem.n, BLOCK_K),
    tiles_m,
    tiles_n,
    problem.num_groups,
    raster_width(problem, config, num_clusters),
    cut_k_block(problem.k, BLOCK_K),
  )
  return (
    launch.Buffer(_SFB),
    dense_gemm_kernel.c_buffer(problem, _NUM_OPERANDS),
    *(launch.Scalar(number) for number in numbers),
  )
