"""The Hopper paged MQA logits as a custom call."""

import jax
import numpy as np

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import (
  PagedMqaProblem,
  Sm90Fp8PagedMqaLogitsConfig,
  choose,
)
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm, block_kv_of
from jax_deepgemm.primitives.print_config import print_config
from jax_deepgemm.primitives.sm90_fp8_mqa_logits import fill_bits

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
  batch, next_n, num_heads, head_dim = q.shape
  num_pages, page_bytes = pages.shape
  problem = PagedMqaProblem(
    batch=batch,
    next_n=next_n,
    num_heads=num_heads,
    head_dim=head_dim,
    block_kv=block_kv_of(page_bytes, head_dim),
    num_pages=num_pages,
    max_pages=block_table.shape[1],
    width=form.max_context_len,
    is_varlen=form.is_varlen,
    float32_out=form.out_dtype == np.float32,
  )
  config = choose(problem, device)
  print_config(problem, config)
  call = kernel_call(problem, config, form, device, options)
  (logits,) = launch.call(
    (call,),
    (q, pages, weights, context_lens, block_table, *indices),
    (jax.ShapeDtypeStruct((batch, next_n, problem.width), form.out_dtype),),
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
  numbers = (
    problem.num_rows,
    problem.next_n,
    problem.num_pages,
    problem.max_pages,
    form.most_keys(problem.max_pages * problem.block_kv),
    problem.width,
    int(form.clean_logits),
    fill_bits(form.fill, problem.float32_out),
  )
  return launch.KernelCall(
    recipe=recipe(config),
    grid=(options.num_sms or device.num_sms, 1, 1),
    cluster=(1, 1, 1),
    threads=config.num_threads,
    smem_bytes=config.smem_bytes,
    pdl=options.pdl,
    params=(
      *_tensor_maps(problem, config),
      *map(launch.Buffer, (_LENGTHS, _TABLE, indices, logits)),
      *map(launch.Scalar, numbers),
    ),
    embed_cubin=options.embed_cubin,
  )


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
  heads, size = config.num_heads, config.head_dim
  q_rows = problem.num_rows * heads
  page_rows = config.page_bytes // size
  q = launch.TensorMap(
    index=_Q,
    dtype="u8",
    dims=(size, q_rows, 1),
    strides=(size, q_rows * size),
    box=(size, config.bank_n, 1),
    swizzle=size,
  )
  pages = launch.TensorMap(
    index=_PAGES,
    dtype="u8",
    dims=(size, page_rows, problem.num_pages),
    strides=(size, config.page_bytes),
    # A page that is a tile is one copy, its scales with it.
    box=(size, page_rows if config.block_kv == 64 else config.block_kv, 1),
    swizzle=size,
  )
  scales = launch.TensorMap(
    index=_PAGES,
    dtype="f32",
    dims=(config.page_bytes // 4, problem.num_pages, 1),
    strides=(config.page_bytes, problem.num_pages * config.page_bytes),
    box=(_PAGE_SCALES, 1, 1),
    swizzle=0,
  )
  weights = launch.TensorMap(
    index=_WEIGHTS,
    dtype="f32",
    dims=(heads, problem.num_rows, 1),
    strides=(4 * heads, problem.num_rows * heads * 4),
    box=(heads, config.bank_n // heads, 1),
    swizzle=0,
  )
  return q, pages, scales, weights
