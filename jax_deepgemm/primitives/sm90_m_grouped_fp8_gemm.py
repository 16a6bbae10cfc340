"""The Hopper FP8 GEMM of groups of rows as a custom call."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.alignment import ceil_div, get_tma_aligned_size
from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm import raster_width
from jax_deepgemm.heuristics.m_grouped_fp8_gemm import (
  MAX_GROUPS,
  MGroupedFp8GemmProblem,
  choose_grouped,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  BLOCK_K,
  Sm90Fp8GemmConfig,
  num_tiles,
)
from jax_deepgemm.jit import Recipe, headers_fingerprint, render_struct
from jax_deepgemm.layout import get_mn_major_tma_aligned_tensor
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, tuning_file
from jax_deepgemm.primitives.fp8_gemm_maps import (
  operand_map,
  result_map,
  scale_map,
)
from jax_deepgemm.primitives.padding import pad_last
from jax_deepgemm.primitives.sm90_fp8_gemm import print_once

_SLAB_ROWS = 64

# GroupLayout in cuda/common/row_groups.cuh. The index layout comes as ranges.
_LAYOUTS = {"ragged": 0, "psum": 1, "masked": 2, "index": 3}

# The buffers of the custom call, in order; the last is D.
_A, _SFA, _B, _SFB, _NUMBERS, _ROW_IDS = range(6)


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
  _check(b.shape[0], recipe_a, recipe_b)
  *lead, m, k = a.shape
  num_groups, n, _ = b.shape
  if layout == "masked":
    alignment = m
  num_rows = num_groups * m if lead else m
  problem = MGroupedFp8GemmProblem(
    m=num_rows,
    n=n,
    k=k,
    num_groups=num_groups,
    expected_m=min(expected_m or ceil_div(num_rows, num_groups), num_rows),
    row_alignment=1 if layout == "ragged" else alignment,
    float32_out=np.dtype(out_dtype) == np.float32,
  )
  config = choose_grouped(
    problem,
    device,
    num_sms=options.num_sms,
    block_size_multiple_of=options.block_size_multiple_of,
    user=tuning_file.user_table(device),
  )
  if ENVIRONMENT.print_configs:
    print_once(problem, config)
  scales = sfa.reshape(1, num_rows, sfa.shape[-1])
  operands = [
    pad_last(a.reshape(1, num_rows, k), 16),
    get_mn_major_tma_aligned_tensor(scales),
    pad_last(b, 16),
    sfb,
  ]
  if layout == "index":
    operands += [_ranges(group_layout, num_groups), group_layout]
  else:
    operands.append(group_layout)
  call = kernel_call(
    problem,
    config,
    device,
    options,
    layout=layout,
    alignment=alignment,
    fills=layout != "masked" or zero_padding,
  )
  pitch = _d_pitch(problem)
  result = jax.ShapeDtypeStruct((num_rows, pitch), out_dtype)
  (d,) = launch.call((call,), operands, [result])
  return d.reshape(*lead, m, pitch)[..., :n]


def kernel_call(
  problem: MGroupedFp8GemmProblem,
  config: Sm90Fp8GemmConfig,
  device: Device,
  options: Options,
  *,
  layout: str,
  alignment: int,
  fills: bool,
) -> launch.KernelCall:
  """Returns the launch that solves `problem` over run's operands."""
  _, tiles_n = num_tiles(problem.expected, config)
  num_sms = options.num_sms or device.num_sms
  # However the rows are spread over groups, there are no more tiles.
  block_rows = config.block_m * config.cluster_m
  most_tiles = (problem.m // block_rows + problem.num_groups) * tiles_n
  num_clusters = min(num_sms // config.cluster_size, most_tiles)
  pitch = _d_pitch(problem)
  numbers = (
    _LAYOUTS[layout],
    alignment,
    int(fills),
    problem.m,
    pitch,
    pitch * problem.out_bytes // 16,
    problem.num_k_blocks,
    ceil_div(problem.n, BLOCK_K),
    tiles_n,
    problem.num_groups,
    raster_width(problem.expected, config, num_clusters),
  )
  return launch.KernelCall(
    recipe=recipe(config),
    grid=(num_clusters * config.cluster_size, 1, 1),
    cluster=(config.cluster_size, 1, 1),
    threads=config.num_threads,
    smem_bytes=config.smem_bytes,
    pdl=options.pdl,
    params=(
      *_tensor_maps(problem, config, _ROW_IDS + (layout == "index")),
      launch.Buffer(_SFB),
      launch.Buffer(_ROW_IDS + (layout == "index")),
      launch.Buffer(_NUMBERS),
      launch.Buffer(_ROW_IDS if layout == "index" else _NUMBERS),
      *(launch.Scalar(number) for number in numbers),
    ),
    embed_cubin=options.embed_cubin,
  )


def recipe(config: Sm90Fp8GemmConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  source = f"""\
#include "kernels/sm90_m_grouped_fp8_gemm_entry.cuh"

JDG_DEFINE_WGMMA_E4M3({config.block_n})

using Kernel = jdg::Sm90Fp8Gemm<jdg::{render_struct(config)}>;
static_assert(sizeof(Kernel::Smem) == {config.smem_bytes});

JDG_SM90_M_GROUPED_FP8_GEMM_ENTRY(Kernel)
"""
  return Recipe(
    kernel="sm90_m_grouped_fp8_gemm",
    source=source,
    arch="sm_90a",
    # Lets ptxas trade compile time for registers: the sums need them all.
    flags="--ptxas-options=--register-usage-level=10",
    fingerprint=headers_fingerprint(),
  )


def _check(
  num_groups: int, recipe_a: tuple[int, int], recipe_b: tuple[int, int]
) -> None:
  if recipe_a != (1, BLOCK_K) or recipe_b != (BLOCK_K, BLOCK_K):
    raise NotImplementedError(
      f"m_grouped_fp8_gemm has no Hopper kernel for recipes {recipe_a} and"
      f" {recipe_b}, only for (1, 128) with (128, 128)"
    )
  if num_groups > MAX_GROUPS:
    raise NotImplementedError(
      f"m_grouped_fp8_gemm takes at most {MAX_GROUPS} groups on Hopper, got"
      f" {num_groups}; split the groups over several calls"
    )


def _ranges(row_ids: jax.Array, num_groups: int) -> jax.Array:
  """Returns `[2 g]`: each group's first row, and behind them each one's end."""
  rows = jnp.arange(row_ids.size, dtype=jnp.int32)
  groups = jnp.arange(num_groups, dtype=jnp.int32)[:, None]
  has = row_ids[None] == groups
  begins = jnp.min(jnp.where(has, rows, row_ids.size), axis=1)
  ends = jnp.max(jnp.where(has, rows + 1, 0), axis=1)
  return jnp.concatenate([begins, ends])


def _tensor_maps(
  problem: MGroupedFp8GemmProblem, config: Sm90Fp8GemmConfig, d_index: int
) -> tuple[launch.TensorMap, ...]:
  """Maps as the kernel's entry lists them."""
  a_shape = (1, problem.m, problem.k)
  b_shape = (problem.num_groups, problem.n, problem.k)
  d_shape = (1, problem.m, _d_pitch(problem))
  blocks = config.stage_k_blocks

  def operand(
    index: int, shape: tuple[int, int, int], rows: int, k_blocks: int = blocks
  ) -> launch.TensorMap:
    return operand_map(
      index, shape, box_rows=rows, box_k_blocks=k_blocks, splits_k=blocks > 1
    )

  def result(columns: int) -> launch.TensorMap:
    return result_map(
      d_index, d_shape, float32_out=problem.float32_out, columns=columns
    )

  b_rest = operand(_B, b_shape, config.rest_columns or config.main_columns)
  return (
    operand(_A, a_shape, config.a_rows),
    operand(_A, a_shape, _SLAB_ROWS, 1),
    operand(_B, b_shape, config.main_columns),
    b_rest,
    scale_map(
      _SFA,
      (1, problem.num_k_blocks, problem.m),
      box_rows=config.sfa_rows,
      box_k_blocks=blocks,
    ),
    result(config.store_box_columns),
    result(config.rest_box_columns or config.store_box_columns),
  )


def _d_pitch(problem: MGroupedFp8GemmProblem) -> int:
  """Returns the elements from one row of D to the next."""
  return get_tma_aligned_size(problem.n, problem.out_bytes)
