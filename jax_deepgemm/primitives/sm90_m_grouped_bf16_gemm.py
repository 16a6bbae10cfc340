"""The Hopper BF16 GEMM of groups of rows as a custom call."""

import jax
import numpy as np

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_bf16_gemm import choose_grouped
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_problem import (
  MGroupedBf16GemmProblem,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Sm90Bf16GemmConfig,
  num_tiles,
)
from jax_deepgemm.jit import Recipe
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  launch,
  m_grouped_kernel,
  m_grouped_operands,
  tuning_file,
)
from jax_deepgemm.primitives.bf16_gemm_maps import PITCH, operand_map
from jax_deepgemm.primitives.padding import pad_last
from jax_deepgemm.primitives.print_config import print_config
from jax_deepgemm.primitives.sm90_bf16_gemm import recipe_of

_SLAB_ROWS = 64

# The buffers of the custom call, in order; the last is D.
_A, _B, _NUMBERS = range(3)


def run(
  a: jax.Array,
  b: jax.Array,
  group_layout: jax.Array,
  *,
  layout: str,
  alignment: int,
  expected_m: int | None,
  zero_padding: bool,
  out_dtype: np.dtype,
  b_mn_major: bool = False,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns each row of A times the B of its group, in `out_dtype`.

  Args:
    a: bfloat16 `[m, k]`, or `[g, m, k]` if masked.
    b: bfloat16 `[g, n, k]`, or `[g, k, n]` if `b_mn_major`.
    group_layout: int32; ids of rows `[m]` for the index layout, ends of groups
      `[g]` for psum, their sizes `[g]` for ragged and masked.
    layout: "index", "psum", "ragged" or "masked".
    alignment: of groups' first rows, for index and psum.
    expected_m: rows of a group, for the choice of tiles.
    zero_padding: whether rows of no group are zero though masked.
    out_dtype: bfloat16 or float32.
    b_mn_major: how `b` lies.
    options: how to launch.
    device: what to launch on.

  Raises:
    NotImplementedError: there are too many groups.
  """
  num_groups = b.shape[0]
  fields = m_grouped_operands.problem_fields(
    "m_grouped_bf16_gemm",
    a,
    b.shape[2 if b_mn_major else 1],
    num_groups,
    layout=layout,
    alignment=alignment,
    expected_m=expected_m,
    float32_out=np.dtype(out_dtype) == np.float32,
  )
  problem = MGroupedBf16GemmProblem(**fields, b_mn_major=b_mn_major)
  config = choose_grouped(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
    user=tuning_file.user_table(device),
  )
  print_config(problem, config)
  operands = [
    pad_last(m_grouped_operands.rows_of(a), PITCH),
    pad_last(b, PITCH),
    *m_grouped_operands.layout_operands(group_layout, layout, num_groups),
  ]
  fills = layout != "masked" or zero_padding
  call = kernel_call(
    problem, config, device, options, layout=layout, fills=fills
  )
  return m_grouped_kernel.launched(call, operands, problem, a.shape)


def kernel_call(
  problem: MGroupedBf16GemmProblem,
  config: Sm90Bf16GemmConfig,
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
      launch.Scalar(problem.num_k_blocks),
    ),
  )


def recipe(config: Sm90Bf16GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return recipe_of("sm90_m_grouped_bf16_gemm", config)


def _tensor_maps(
  problem: MGroupedBf16GemmProblem, config: Sm90Bf16GemmConfig, layout: str
) -> tuple[launch.TensorMap, ...]:
  """Maps as the kernel's entry lists them."""
  blocks = config.stage_k_blocks

  def rows_of_a(rows: int, k_blocks: int) -> launch.TensorMap:
    return operand_map(
      _A,
      (1, problem.m, problem.k),
      mn_major=False,
      box_rows=rows,
      box_k_blocks=k_blocks,
      splits_k=blocks > 1,
    )

  return (
    rows_of_a(config.a_rows, blocks),
    rows_of_a(_SLAB_ROWS, 1),
    operand_map(
      _B,
      (problem.num_groups, problem.n, problem.k),
      mn_major=problem.b_mn_major,
      box_rows=config.block_n,
      box_k_blocks=blocks,
      splits_k=blocks > 1,
    ),
    m_grouped_kernel.d_map(problem, layout, _NUMBERS, config.store_box_columns),
  )
