"""The Hopper K-grouped FP8 GEMM as a custom call."""

import jax
import numpy as np

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  KGroupedFp8GemmProblem,
  Sm90KGroupedFp8GemmConfig,
  choose,
  num_k_grouped_tiles,
)
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import k_grouped_kernel, launch, tuning_file
from jax_deepgemm.primitives.fp8_gemm_maps import operand_map, scale_map
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.print_config import print_config

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _SFA, _B, _SFB, _GROUP_SIZES, _NUM_OPERANDS = range(6)


def run(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: np.dtype,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns D_g = C_g + dequantize(A_g) dequantize(B_g)^T in `out_dtype`.

  Groups lie side by side along K, each from a multiple of 128 on. Past a
  group's end, up to the next multiple of 128, values are zeros and their
  scales are finite.

  TMA needs rows that are multiples of 16 bytes, to which those of C and D are
  padded where they are not: a copy of C, and of the result.

  Args:
    a: float8_e4m3fn `[m, k_padded]`, k_padded a multiple of 128.
    sfa: float32 `[k_padded / 128, align(m, 4)]`.
    b: float8_e4m3fn `[n, k_padded]`.
    sfb: float32 `[k_padded / 128, align(n, 4)]`.
    group_sizes: int32 `[g]`, elements of K in each group.
    c: float32 `[g, m, n]` or None.
    out_dtype: float32, or bfloat16 if there is no c.
    options: how to launch.
    device: what to launch on.

  Returns:
    `[g, m, n]`.

  Raises:
    NotImplementedError: there are more groups than the kernel takes.
  """
  (num_groups,) = group_sizes.shape
  k_grouped_kernel.check_num_groups("k_grouped_fp8_gemm", num_groups)
  problem = KGroupedFp8GemmProblem(
    m=a.shape[0],
    n=b.shape[0],
    num_k_blocks=sfa.shape[0],
    num_groups=num_groups,
    with_c=c is not None,
    float32_out=out_dtype == np.float32,
  )
  config = choose(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
    user=tuning_file.user_table(device),
  )
  print_config(problem, config)
  call = kernel_call(problem, config, device, options)
  operands = (a, sfa, b, sfb, group_sizes)
  return k_grouped_kernel.launched(call, operands, c, problem, config)


def kernel_call(
  problem: KGroupedFp8GemmProblem,
  config: Sm90KGroupedFp8GemmConfig,
  device: Device,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over run's operands."""
  return k_grouped_kernel.kernel_call(
    recipe(config),
    problem,
    config,
    device,
    options,
    tiles=num_k_grouped_tiles(problem, config),
    k=problem.num_k_blocks,
    params=(*_tensor_maps(problem, config), launch.Buffer(_GROUP_SIZES)),
  )


def recipe(config: Sm90KGroupedFp8GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  gemm = config.gemm
  struct = render_struct(gemm)
  return gemm_recipe(
    "sm90_k_grouped_fp8_gemm",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3({gemm.block_n})",
    kernel_type=(
      f"Sm90KGroupedFp8Gemm<\n    jdg::{struct}, {config.max_groups}>"
    ),
    smem_bytes=config.smem_bytes,
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
    k_grouped_kernel.d_map(problem, config, _NUM_OPERANDS),
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
