"""The Hopper K-grouped BF16 GEMM as a custom call."""

import jax
import numpy as np

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_k_grouped_bf16_gemm import (
  KGroupedBf16GemmProblem,
  Sm90KGroupedBf16GemmConfig,
  choose,
  num_k_grouped_tiles,
)
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import k_grouped_kernel, launch
from jax_deepgemm.primitives.bf16_gemm_maps import PITCH, operand_map
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.padding import pad_last
from jax_deepgemm.primitives.print_config import print_config

# The buffers of the custom call, in order; C, if there is one, goes before D.
_A, _B, _GROUP_STARTS, _GROUP_SIZES, _NUM_OPERANDS = range(5)


def run(
  a: jax.Array,
  b: jax.Array,
  group_starts: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: np.dtype,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns D_g = C_g + A_g^T B_g in `out_dtype`.

  Group g is group_sizes[g] rows of A and B from row group_starts[g] on. Other
  rows may hold anything. What reaches past the arrays is cut.

  TMA needs rows that are multiples of 16 bytes, to which those of A, B, C and D
  are padded where they are not: a copy of the operand, and of the result.

  Args:
    a: bfloat16 `[k, m]`.
    b: bfloat16 `[k, n]`.
    group_starts: int32 `[g]`.
    group_sizes: int32 `[g]`.
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
  k_grouped_kernel.check_num_groups("k_grouped_bf16_gemm", num_groups)
  problem = KGroupedBf16GemmProblem(
    m=a.shape[1],
    n=b.shape[1],
    k=a.shape[0],
    num_groups=num_groups,
    with_c=c is not None,
    float32_out=out_dtype == np.float32,
  )
  config = choose(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
  )
  print_config(problem, config)
  call = kernel_call(problem, config, device, options)
  operands = (pad_last(a, PITCH), pad_last(b, PITCH), group_starts, group_sizes)
  return k_grouped_kernel.launched(call, operands, c, problem, config)


def kernel_call(
  problem: KGroupedBf16GemmProblem,
  config: Sm90KGroupedBf16GemmConfig,
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
    k=problem.k,
    params=(
      *_tensor_maps(problem, config),
      launch.Buffer(_GROUP_STARTS),
      launch.Buffer(_GROUP_SIZES),
    ),
  )


def recipe(config: Sm90KGroupedBf16GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  gemm = config.gemm
  struct = render_struct(gemm)
  return gemm_recipe(
    "sm90_k_grouped_bf16_gemm",
    wgmma=f"JDG_DEFINE_WGMMA_BF16({gemm.block_n}, 1, 1)",
    kernel_type=(
      f"Sm90KGroupedBf16Gemm<\n    jdg::{struct}, {config.max_groups}>"
    ),
    smem_bytes=config.smem_bytes,
  )


def _tensor_maps(
  problem: KGroupedBf16GemmProblem, config: Sm90KGroupedBf16GemmConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps as the kernel's entry lists them."""
  gemm = config.gemm
  return (
    _operand_map(_A, problem.m, problem.k, gemm.block_m),
    _operand_map(_B, problem.n, problem.k, gemm.block_n),
    k_grouped_kernel.d_map(problem, config, _NUM_OPERANDS),
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
