"""The Hopper paged MQA logits as a custom call."""

import jax
import numpy as np

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import (
  BLOCK_KV,
  PagedMqaProblem,
  Sm90Fp8PagedMqaLogitsConfig,
  choose,
)
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.block_launch import block_call, one_per_sm
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm, block_kv_of
from jax_deepgemm.primitives.print_config import print_config
from jax_deepgemm.primitives.sm90_fp8_mqa_logits import (
  fill_bits,
  swizzle_of,
  vectors_map,
  words_map,
)

# The buffers of the custom call, in order; indices only where rows have some.
_Q, _PAGES, _WEIGHTS, _LENGTHS, _TABLE, _INDICES = range(6)
_PAGE_SCALES = 32  # Of a copy, where a tile has two pages.


def run(
  q: jax.Array,
  pages: jax.Array,
  weights: jax.Array,
  context_lens: jax.Array,
  block_table: jax.Array,
  *indices: jax.Array,
  form: PagedMqaForm,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns the logits of `primitives/paged_mqa_logits.py`; no size is zero.

  Raises:
    NotImplementedError: there are more rows or keys than the kernel counts.
  """
  problem = problem_of(q, pages, block_table, q.shape[3], form)
  config = choose(problem, device)
  print_config(problem, config)
  call = kernel_call(problem, config, form, device, options)
  (logits,) = launch.call(
    (call,),
    (q, pages, weights, context_lens, block_table, *indices),
    (logits_of(problem, form),),
  )
  return logits


def kernel_call(
  problem: PagedMqaProblem,
  config: Sm90Fp8PagedMqaLogitsConfig,
  form: PagedMqaForm,
  device: Device,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that solves `problem`."""
  logits = _INDICES + problem.is_varlen
  indices = _INDICES if problem.is_varlen else _LENGTHS  # Not read then.
  return block_call(
    recipe(config),
    config,
    options,
    num_blocks=one_per_sm(device, options),
    params=(
      *_tensor_maps(problem, config),
      *map(launch.Buffer, (_LENGTHS, _TABLE, indices, logits)),
      *numbers(problem, form),
    ),
  )


def problem_of(
  q: jax.Array,
  pages: jax.Array,
  block_table: jax.Array,
  head_dim: int,
  form: PagedMqaForm,
) -> PagedMqaProblem:
  """Returns the problem of operands with vectors of `head_dim`."""
  batch, next_n, num_heads, vector_bytes = q.shape
  num_pages, page_bytes = pages.shape
  return PagedMqaProblem(
    batch=batch,
    next_n=next_n,
    num_heads=num_heads,
    head_dim=head_dim,
    block_kv=block_kv_of(page_bytes, vector_bytes),
    num_pages=num_pages,
    max_pages=block_table.shape[1],
    width=form.max_context_len,
    is_varlen=form.is_varlen,
    float32_out=form.out_dtype == np.float32,
  )


def logits_of(
  problem: PagedMqaProblem, form: PagedMqaForm
) -> jax.ShapeDtypeStruct:
  """Returns shape and dtype of the result."""
  shape = (problem.batch, problem.next_n, problem.width)
  return jax.ShapeDtypeStruct(shape, form.out_dtype)


def numbers(
  problem: PagedMqaProblem, form: PagedMqaForm
) -> tuple[launch.Scalar, ...]:
  """Returns the last parameters of the kernel."""
  values = (
    problem.num_rows,
    problem.next_n,
    problem.num_pages,
    problem.max_pages,
    form.most_keys(problem.max_pages * problem.block_kv),
    problem.width,
    int(form.clean_logits),
    fill_bits(form.fill, problem.float32_out),
  )
  return tuple(map(launch.Scalar, values))


def recipe(config: Sm90Fp8PagedMqaLogitsConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return gemm_recipe(
    "sm90_fp8_paged_mqa_logits",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3({config.bank_n})",
    kernel_type=f"Sm90Fp8PagedMqaLogits<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
  )


def _tensor_maps(
  problem: PagedMqaProblem, config: Sm90Fp8PagedMqaLogitsConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps of q, pages as rows of a key's width, their scales and the weights."""
  # A page that is a tile is one copy, its scales with it.
  rows = config.page_bytes // config.head_dim
  rows = rows if config.block_kv == BLOCK_KV else config.block_kv
  scales = launch.TensorMap(
    index=_PAGES,
    dtype="f32",
    dims=(config.page_bytes // 4, problem.num_pages, 1),
    strides=(config.page_bytes, problem.num_pages * config.page_bytes),
    box=(_PAGE_SCALES, 1, 1),
    swizzle=0,
  )
  return (
    vectors_map(
      _Q, config.head_dim, problem.num_rows * config.num_heads, config.bank_n
    ),
    pages_map(_PAGES, problem, config, config.head_dim, rows),
    scales,
    heads_map(_WEIGHTS, problem, config),
  )


def pages_map(
  index: int,
  problem: PagedMqaProblem,
  config: Sm90Fp8PagedMqaLogitsConfig,
  row_bytes: int,
  box_rows: int,
) -> launch.TensorMap:
  """Returns the map of pages as rows of `row_bytes`, swizzled as wide."""
  rows = config.page_bytes // row_bytes
  return launch.TensorMap(
    index=index,
    dtype="u8",
    dims=(row_bytes, rows, problem.num_pages),
    strides=(row_bytes, config.page_bytes),
    box=(row_bytes, box_rows, 1),
    swizzle=swizzle_of(row_bytes),
  )


def heads_map(
  index: int, problem: PagedMqaProblem, config: Sm90Fp8PagedMqaLogitsConfig
) -> launch.TensorMap:
  """Returns the map of 4 bytes for each row and head, a product's at a time."""
  heads = config.num_heads
  return words_map(
    index, heads, problem.num_rows, heads, config.bank_n // heads
  )
