"""The Hopper BF16 GEMM as a custom call."""

import jax
import numpy as np

from jax_deepgemm.heuristics.bf16_gemm import choose, raster_width
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  BLOCK_K,
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  num_tiles,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
)
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  dense_gemm_kernel,
  launch,
  sm90_bf16_gemm_swapped,
  tuning_file,
)
from jax_deepgemm.primitives.bf16_gemm_maps import (
  PITCH,
  operand_map,
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
from jax_deepgemm.primitives.padding import pad_last
from jax_deepgemm.primitives.print_config import print_config

# The buffers of the custom call, in order; C, if there is one, goes last.
_A, _B, _NUM_OPERANDS = range(3)


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
  memory: MemoryOrder = ROW_MAJOR,
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
    memory: where operands lie, and D shall.
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
  operands = [
    pad_last(as_it_lies(a, memory.a_groups_inside), PITCH),
    pad_last(as_it_lies(b, memory.b_groups_inside), PITCH),
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
  if isinstance(config, Sm90Bf16GemmSwappedConfig):
    call = sm90_bf16_gemm_swapped.kernel_call(problem, config, options, memory)
  else:
    call = kernel_call(problem, config, device, options, memory)
  return dense_gemm_kernel.launched(call, operands, c, problem, memory)


def _sizes(x: jax.Array, mn_major: bool) -> tuple[int, int, int]:
  """Returns groups, rows and k of an operand."""
  groups, rows, k = x.shape
  return (groups, k, rows) if mn_major else (groups, rows, k)


def kernel_call(
  problem: Bf16GemmProblem,
  config: Sm90Bf16GemmConfig,
  device: Device,
  options: Options,
  memory: MemoryOrder = ROW_MAJOR,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over run's operands."""
  tiles_m, tiles_n = num_tiles(problem, config)
  num_clusters = persistent_clusters(
    tiles_m * tiles_n * problem.num_groups, config, device, options
  )
  numbers = (
    problem.m,
    d_pitch(problem),
    problem.num_k_blocks,
    tiles_m,
    tiles_n,
    problem.num_groups,
    raster_width(problem, config, num_clusters),
    cut_k_block(problem.k, BLOCK_K),
  )
  return gemm_call(
    recipe(config),
    config,
    options,
    num_clusters=num_clusters,
    smem_bytes=config.smem_bytes,
    params=(
      *_tensor_maps(problem, config, memory),
      dense_gemm_kernel.c_buffer(problem, _NUM_OPERANDS),
      *(launch.Scalar(number) for number in numbers),
    ),
  )


def recipe(config: Sm90Bf16GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return recipe_of("sm90_bf16_gemm", config)


def recipe_of(
  kernel: str, config: Sm90Bf16GemmConfig, kernel_class: str = "Sm90Bf16Gemm"
) -> Recipe:
  """Returns the same of a kernel whose header is `kernel`_entry.cuh."""
  majors = f"{int(config.a_mn_major)}, {int(config.b_mn_major)}"
  return gemm_recipe(
    kernel,
    wgmma=f"JDG_DEFINE_WGMMA_BF16({config.block_n}, {majors})",
    kernel_type=f"{kernel_class}<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
  )


def _tensor_maps(
  problem: Bf16GemmProblem, config: Sm90Bf16GemmConfig, memory: MemoryOrder
) -> tuple[launch.TensorMap, ...]:
  """Maps as the kernel's entry lists them."""

  def operand(
    index: int,
    rows: int,
    box_rows: int,
    mn_major: bool,
    inside: bool,
    blocks: int,
  ) -> launch.TensorMap:
    return operand_map(
      index,
      (problem.num_groups, rows, problem.k),
      mn_major=mn_major,
      box_rows=box_rows,
      box_k_blocks=blocks,
      splits_k=blocks > 1,
      groups_inside=inside,
    )

  a_major, a_inside = problem.a_mn_major, memory.a_groups_inside
  b_major, b_inside = problem.b_mn_major, memory.b_groups_inside

  def a_map(rows: int, blocks: int) -> launch.TensorMap:
    return operand(_A, problem.m, rows, a_major, a_inside, blocks)

  def b_map(blocks: int) -> launch.TensorMap:
    return operand(_B, problem.n, config.block_n, b_major, b_inside, blocks)

  blocks = config.stage_k_blocks
  return (
    a_map(config.a_rows, blocks),
    a_map(rest_rows(problem.m, config.a_rows), 1),
    b_map(blocks),
    a_map(config.a_rows, 1),
    b_map(1),
    dense_gemm_kernel.d_map(
      problem, _NUM_OPERANDS, config.store_box_columns, memory
    ),
  )
