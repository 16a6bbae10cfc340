"""The Hopper FP8 GEMM with FP4 weights as a custom call."""

import jax
import numpy as np

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_fp4_gemm import choose, raster_width
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  Fp8Fp4GemmProblem,
  Sm90Fp8Fp4GemmConfig,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import num_tiles
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.layout import get_mn_major_tma_aligned_tensor
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  dense_gemm_kernel,
  launch,
  sm90_fp8_fp4_gemm_swapped,
)
from jax_deepgemm.primitives.fp8_gemm_maps import (
  codes_map,
  operand_map,
  scale_map,
)
from jax_deepgemm.primitives.gemm_launch import (
  d_pitch,
  gemm_call,
  persistent_clusters,
  rest_rows,
)
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
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
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns D = C + dequantize(A) dequantize(B)^T per group, in `out_dtype`.

  TMA needs rows that are multiples of 16 bytes, so K is padded to a multiple
  of 16 in A and of 32 in B, and N of C and D to 8 (bfloat16) or 4 (float32)
  where they are not: a copy of the operand, and of the result.

  Args:
    a: float8_e4m3fn `[g, m, k]`.
    sfa: float32 `[g, m, ceil(k / 128)]`.
    b: int8 `[g, n, ceil(k / 2)]`, two e2m1 codes a byte.
    sfb: int32 `[g, n, ceil(k / 128)]`, four UE8M0 exponents of 32 codes each.
    c: `[g, m, n]` in `out_dtype`, or None.
    out_dtype: bfloat16 or float32.
    options: how to launch.
    device: what to launch on.
  """
  num_groups, m, k = a.shape
  n = b.shape[1]
  out_dtype = np.dtype(out_dtype)
  problem = Fp8Fp4GemmProblem(
    m=m,
    n=n,
    k=k,
    num_groups=num_groups,
    float32_out=out_dtype == np.float32,
    with_c=c is not None,
  )
  a, b = pad_bytes(a, b, 16, options)
  operands = [a, get_mn_major_tma_aligned_tensor(sfa), b, sfb]
  config = choose(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
    batch_invariant=options.batch_invariant,
    prefetch_weights=options.pdl,
  )
  print_config(problem, config)
  if isinstance(config, Sm90Fp8Fp4GemmSwappedConfig):
    call = sm90_fp8_fp4_gemm_swapped.kernel_call(problem, config, options)
  else:
    call = kernel_call(problem, config, device, options)
  return dense_gemm_kernel.launched(call, operands, c, problem)


def kernel_call(
  problem: Fp8Fp4GemmProblem,
  config: Sm90Fp8Fp4GemmConfig,
  device: Device,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over run's operands."""
  tiles_m, tiles_n = num_tiles(problem.fp8, config)
  num_clusters = persistent_clusters(
    tiles_m * tiles_n * problem.num_groups, config, device, options
  )
  numbers = (
    problem.m,
    problem.n,
    d_pitch(problem),
    problem.num_k_blocks,
    problem.num_fp4_groups,
    tiles_m,
    tiles_n,
    problem.num_groups,
    raster_width(problem, config, num_clusters),
  )
  return gemm_call(
    recipe(config),
    config,
    options,
    num_clusters=num_clusters,
    smem_bytes=config.smem_bytes,
    params=(
      *_tensor_maps(problem, config),
      launch.Buffer(_SFB),
      dense_gemm_kernel.c_buffer(problem, _NUM_OPERANDS),
      *(launch.Scalar(number) for number in numbers),
    ),
  )


def recipe(config: Sm90Fp8Fp4GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  struct = render_struct(config, "Sm90Fp8GemmConfig")
  return gemm_recipe(
    "sm90_fp8_fp4_gemm",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3({config.block_n})",
    kernel_type=f"Sm90Fp8Gemm<jdg::{struct}, jdg::Fp4Work>",
    smem_bytes=config.smem_bytes,
  )


def _tensor_maps(
  problem: Fp8Fp4GemmProblem, config: Sm90Fp8Fp4GemmConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps of A, B, the scales of A and D, as the kernel's entry lists them."""
  groups, m, n, k = problem.num_groups, problem.m, problem.n, problem.k
  return (
    *(
      operand_map(
        _A, (groups, m, k), box_rows=rows, box_k_blocks=1, splits_k=False
      )
      for rows in (config.a_rows, rest_rows(m, config.a_rows))
    ),
    codes_map(_B, (groups, n, k), box_rows=config.block_n, box_k_blocks=1),
    scale_map(
      _SFA,
      (groups, problem.num_k_blocks, m),
      box_rows=config.block_m,
      box_k_blocks=1,
    ),
    dense_gemm_kernel.d_map(problem, _NUM_OPERANDS, config.store_box_columns),
  )
