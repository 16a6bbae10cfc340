"""The Hopper paged MQA logits of FP4 vectors as a custom call."""

import jax

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_fp4_paged_mqa_logits import (
  Sm90Fp8Fp4PagedMqaLogitsConfig,
  choose,
)
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import PagedMqaProblem
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.block_launch import block_call, one_per_sm
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm
from jax_deepgemm.primitives.print_config import print_config
from jax_deepgemm.primitives.sm90_fp8_mqa_logits import vectors_map
from jax_deepgemm.primitives.sm90_fp8_paged_mqa_logits import (
  heads_map,
  logits_of,
  numbers,
  pages_map,
  problem_of,
)

# The buffers of the custom call, in order; indices only where rows have some.
_Q, _PAGES, _WEIGHTS, _LENGTHS, _TABLE, _Q_SCALES, _INDICES = range(7)
_LINE = 128  # Bytes of a page that are a row of TMA's box.


def run(
  q: jax.Array,
  pages: jax.Array,
  weights: jax.Array,
  context_lens: jax.Array,
  block_table: jax.Array,
  q_scales: jax.Array,
  *indices: jax.Array,
  form: PagedMqaForm,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns the logits of `primitives/paged_mqa_logits.py`; no size is zero.

  Raises:
    NotImplementedError: there are more rows or keys than the kernel counts.
  """
  problem = problem_of(q, pages, block_table, 2 * q.shape[3], form)
  config = choose(problem, device)
  print_config(problem, config)
  call = kernel_call(problem, config, form, device, options)
  (logits,) = launch.call(
    (call,),
    (q, pages, weights, context_lens, block_table, q_scales, *indices),
    (logits_of(problem, form),),
  )
  return logits


def kernel_call(
  problem: PagedMqaProblem,
  config: Sm90Fp8Fp4PagedMqaLogitsConfig,
  form: PagedMqaForm,
  device: Device,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that solves `problem`."""
  logits = _INDICES + problem.is_varlen
  indices = _INDICES if problem.is_varlen else _LENGTHS  # Not read then.
  # The last four are for vectors that the tensor cores cannot multiply.
  buffers = (_LENGTHS, _TABLE, indices, logits, _Q, _PAGES, _Q_SCALES, _WEIGHTS)
  return block_call(
    recipe(config),
    config,
    options,
    num_blocks=one_per_sm(device, options),
    params=(
      *_tensor_maps(problem, config),
      *map(launch.Buffer, buffers),
      *numbers(problem, form),
    ),
  )


def recipe(config: Sm90Fp8Fp4PagedMqaLogitsConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return gemm_recipe(
    "sm90_fp8_fp4_paged_mqa_logits",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3({config.bank_n})",
    kernel_type=f"Sm90Fp8Fp4PagedMqaLogits<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
  )


def _tensor_maps(
  problem: PagedMqaProblem, config: Sm90Fp8Fp4PagedMqaLogitsConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps of q, whole pages, the weights and the scales of q."""
  pairs, size = problem.num_rows * config.num_heads, config.vector_bytes
  return (
    vectors_map(_Q, size, pairs, config.bank_n),
    pages_map(_PAGES, problem, config, _LINE, config.page_bytes // _LINE),
    heads_map(_WEIGHTS, problem, config),
    heads_map(_Q_SCALES, problem, config),
  )
