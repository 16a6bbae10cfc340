"""The Hopper FP8 GEMM of groups of rows as a custom call."""

import jax
import numpy as np

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_fp8_gemm import choose_grouped
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  BLOCK_K,
  Sm90Fp8GemmConfig,
  num_tiles,
)
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.layout import get_mn_major_tma_aligned_tensor
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  launch,
  m_grouped_kernel,
  m_grouped_operands,
  tuning_file,
)
from jax_deepgemm.primitives.fp8_gemm_maps import (
  operand_map,
  scale_map,
)
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.padding import pad_bytes
from jax_deepgemm.primitives.print_config import print_config

_SLAB_ROWS = 64

# The buffers of the custom call, in order; the last is D.
_A, _SFA, _B, _SFB, _NUMBERS = range(5)


def run(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_layout: jax.Array,
  *,
  layout: str,
  alignment: int,
  expected_m: int | None,
  zero_padding: bool,
  out_dtype: np.dtype,
  recipe_a: tuple[int, int],
  recipe_b: tuple[int, int],
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns each row of A times the B of its group, in `out_dtype`.

  Args:
    a: float8_e4m3fn `[m, k]`, or `[g, m, k]` if masked.
    sfa: float32 `[..., m, ceil(k / 128)]`.
    b: float8_e4m3fn `[g, n, k]`.
    sfb: float32 `[g, ceil(n / 128), ceil(k / 128)]`.
    group_layout: int32; ids of rows `[m]` for the index layout, ends of groups
      `[g]` for psum, their sizes `[g]` for ragged and masked.
    layout: "index", "psum", "ragged" or "masked".
    alignment: of groups' first rows, for index and psum.
    expected_m: rows of a group, for the choice of tiles.
    zero_padding: whether rows of no group are zero though masked.
    out_dtype: bfloat16 or float32.
    recipe_a: what a scale of A covers, (rows, columns).
    recipe_b: the same of B.
    options: how to launch.
    device: what to launch on.

  Raises:
    NotImplementedError: the kernel has no such recipe, or too many groups.
  """
  num_groups, n, _ = b.shape
  _check_recipes(recipe_a, recipe_b)
  fields = m_grouped_operands.problem_fields(
    "m_grouped_fp8_gemm",
    a,
    n,
    num_groups,
    layout=layout,
    alignment=alignment,
    expected_m=expected_m,
    float32_out=np.dtype(out_dtype) == np.float32,
  )
  problem = MGroupedFp8GemmProblem(**fields)
  config = _chosen(problem, device, options)
  rows, b = pad_bytes(m_grouped_operands.rows_of(a), b, 16, options)
  operands = [
    rows,
    get_mn_major_tma_aligned_tensor(m_grouped_operands.rows_of(sfa)),
    b,
    sfb,
    *m_grouped_operands.layout_operands(group_layout, layout, num_groups),
  ]
  fills = layout != "masked" or zero_padding
  call = kernel_call(
    problem, config, device, options, layout=layout, fills=fills
  )
  return m_grouped_kernel.launched(call, operands, problem, a.shape)


def ragged_kernel_call(
  a: jax.ShapeDtypeStruct,
  n: int,
  num_groups: int,
  expected_m: int,
  device: Device,
  options: Options,
  *,
  scatters_rows: bool = False,
) -> launch.KernelCall:
  """Returns the launch of the ragged layout that leaves other rows alone.

  Its buffers are A, its scales `[k / 128, m]`, B, its scales, the sizes of the
  groups, and D `[m, n]` in bfloat16.

  Args:
    a: float8_e4m3fn `[m, k]`, with m a multiple of 4 and k of 128.
    n: columns of D, a multiple of 8.
    num_groups: how many there are.
    expected_m: rows of a group, for the choice of tiles.
    device: what to launch on.
    options: how to launch.
    scatters_rows: in D's place are uint32 `[m, 2]`, the address of each row of
      D, or 0 where it is not wanted.

  Raises:
    NotImplementedError: there are too many groups.
  """
  fields = m_grouped_operands.ragged_fields(
    "m_grouped_fp8_gemm", a, n, num_groups, expected_m
  )
  problem = MGroupedFp8GemmProblem(**fields, scatters_rows=scatters_rows)
  config = _chosen(problem, device, options)
  return kernel_call(
    problem, config, device, options, layout="ragged", fills=False
  )


def _chosen(
  problem: MGroupedFp8GemmProblem, device: Device, options: Options
) -> Sm90Fp8GemmConfig:
  config = choose_grouped(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
    user=tuning_file.user_table(device),
  )
  print_config(problem, config)
  return config


def kernel_call(
  problem: MGroupedFp8GemmProblem,
  config: Sm90Fp8GemmConfig,
  device: Device,
  options: Options,
  *,
  layout: str,
  fills: bool,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over run's operands."""
  return m_grouped_kernel.kernel_call(
    recipe(config),
    problem,
    config,
    device,
    options,
    layout=layout,
    fills=fills,
    first=_NUMBERS,
    tiles=num_tiles(problem.expected, config),
    params=(
      *_tensor_maps(problem, config, layout),
      launch.Buffer(_SFB),
      launch.Scalar(problem.num_k_blocks),
      launch.Scalar(ceil_div(problem.n, BLOCK_K)),
    ),
  )


def recipe(config: Sm90Fp8GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return gemm_recipe(
    "sm90_m_grouped_fp8_gemm",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3({config.block_n})",
    kernel_type=f"Sm90Fp8Gemm<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
  )


def _check_recipes(
  recipe_a: tuple[int, int], recipe_b: tuple[int, int]
) -> None:
  if recipe_a != (1, BLOCK_K) or recipe_b != (BLOCK_K, BLOCK_K):
    raise NotImplementedError(
      f"m_grouped_fp8_gemm has no Hopper kernel for recipes {recipe_a} and"
      f" {recipe_b}, only for (1, 128) with (128, 128)"
    )


def _tensor_maps(
  problem: MGroupedFp8GemmProblem, config: Sm90Fp8GemmConfig, layout: str
) -> tuple[launch.TensorMap, ...]:
  """Maps as the kernel's entry lists them."""
  a_shape = (1, problem.m, problem.k)
  b_shape = (problem.num_groups, problem.n, problem.k)
  blocks = config.stage_k_blocks

  def operand(
    index: int, shape: tuple[int, int, int], rows: int, k_blocks: int = blocks
  ) -> launch.TensorMap:
    return operand_map(
      index, shape, box_rows=rows, box_k_blocks=k_blocks, splits_k=blocks > 1
    )

  def d_map(columns: int) -> launch.TensorMap:
    if config.scatters_rows:
      return a_slab  # One that the kernel does not use.
    return m_grouped_kernel.d_map(problem, layout, _NUMBERS, columns)

  b_rest = operand(_B, b_shape, config.rest_columns or config.main_columns)
  a_slab = operand(_A, a_shape, _SLAB_ROWS, 1)
  return (
    operand(_A, a_shape, config.a_rows),
    a_slab,
    operand(_B, b_shape, config.main_columns),
    b_rest,
    scale_map(
      _SFA,
      (1, problem.num_k_blocks, problem.m),
      box_rows=config.sfa_rows,
      box_k_blocks=blocks,
    ),
    d_map(config.store_box_columns),
    d_map(config.rest_box_columns or config.store_box_columns),
  )
