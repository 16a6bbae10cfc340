"""The Hopper MQA logits of FP4 vectors as a custom call."""

import jax

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_fp4_mqa_logits import (
  Sm90Fp8Fp4MqaLogitsConfig,
  choose,
)
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import MqaLogitsProblem
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.block_launch import block_call, one_per_sm
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.primitives.print_config import print_config
from jax_deepgemm.primitives.sm90_fp8_mqa_logits import (
  numbers,
  problem_of,
  vectors_map,
  weights_map,
  words_map,
)

# The buffers of the custom call, in order.
_Q, _KEYS, _SCALES, _WEIGHTS, _STARTS, _ENDS, _Q_SCALES, _LOGITS = range(8)


def run(
  q: jax.Array,
  keys: jax.Array,
  key_scales: jax.Array,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
  q_scales: jax.Array,
  *,
  form: MqaForm,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns the logits of `primitives/mqa_logits.py`; no size is zero.

  Raises:
    NotImplementedError: there are more rows or keys than the kernel counts.
  """
  problem = problem_of(q, keys, 2 * q.shape[2], form)
  config = choose(problem, device)
  print_config(problem, config)
  (logits,) = launch.call(
    (kernel_call(problem, config, form.fill, device, options),),
    (q, keys, key_scales, weights, starts, ends, q_scales),
    (jax.ShapeDtypeStruct((problem.num_rows, problem.width), form.out_dtype),),
  )
  return logits


def kernel_call(
  problem: MqaLogitsProblem,
  config: Sm90Fp8Fp4MqaLogitsConfig,
  fill: float,
  device: Device,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that solves `problem`, `fill` outside of the ranges."""
  # The last five are for vectors that the tensor cores cannot multiply.
  buffers = (_STARTS, _ENDS, _LOGITS, _Q, _KEYS, _Q_SCALES, _SCALES, _WEIGHTS)
  return block_call(
    recipe(config),
    config,
    options,
    num_blocks=one_per_sm(device, options),
    params=(
      *_tensor_maps(problem, config),
      *map(launch.Buffer, buffers),
      *numbers(problem, fill),
    ),
  )


def recipe(config: Sm90Fp8Fp4MqaLogitsConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  struct = render_struct(config, "Sm90Fp8MqaLogitsConfig")
  return gemm_recipe(
    "sm90_fp8_fp4_mqa_logits",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3({config.bank_n})",
    kernel_type=f"Sm90Fp8Fp4MqaLogits<jdg::{struct}>",
    smem_bytes=config.smem_bytes,
  )


def _tensor_maps(
  problem: MqaLogitsProblem, config: Sm90Fp8Fp4MqaLogitsConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps of q, keys, their scales, the weights and the scales of q."""
  columns, pairs = 2 * config.bank_n, problem.num_rows * problem.num_heads
  code_bytes = config.head_dim // 2
  return (
    vectors_map(_Q, code_bytes, pairs, columns),
    vectors_map(_KEYS, code_bytes, problem.num_keys, config.block_kv),
    words_map(_SCALES, problem.num_keys, 1, config.block_kv, 1),
    weights_map(_WEIGHTS, problem, config),
    words_map(_Q_SCALES, pairs, 1, columns, 1),
  )
