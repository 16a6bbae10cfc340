"""The Hopper MQA logits as a custom call."""

import jax
import numpy as np

from jax_deepgemm.alignment import get_tma_aligned_size
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import (
  MqaLogitsProblem,
  Sm90Fp8MqaLogitsConfig,
  choose,
)
from jax_deepgemm.jit import Recipe, render_struct
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.block_launch import block_call, one_per_sm
from jax_deepgemm.primitives.gemm_recipe import gemm_recipe
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.primitives.print_config import print_config

# The buffers of the custom call, in order.
_Q, _KEYS, _SCALES, _WEIGHTS, _STARTS, _ENDS, _LOGITS = range(7)
_BFLOAT16_TWICE = 0x10001
_LEAST_SWIZZLE = 32  # Bytes.


def run(
  q: jax.Array,
  keys: jax.Array,
  key_scales: jax.Array,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
  *,
  form: MqaForm,
  options: Options,
  device: Device,
) -> jax.Array:
  """Returns the logits of `primitives/mqa_logits.py`; no size is zero.

  Raises:
    NotImplementedError: there are more rows or keys than the kernel counts.
  """
  num_rows, _, head_dim = q.shape
  problem = problem_of(q, keys, head_dim, form)
  config = choose(problem, device)
  print_config(problem, config)
  call = kernel_call(problem, config, form.fill, device, options)
  shape = (num_rows, problem.width)
  (logits,) = launch.call(
    (call,),
    (q, keys, key_scales, weights, starts, ends),
    (jax.ShapeDtypeStruct(shape, form.out_dtype),),
  )
  return logits


def kernel_call(
  problem: MqaLogitsProblem,
  config: Sm90Fp8MqaLogitsConfig,
  fill: float,
  device: Device,
  options: Options,
) -> launch.KernelCall:
  """Returns the launch that solves `problem`, `fill` outside of the ranges."""
  buffers = (_STARTS, _ENDS, _LOGITS)
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


def problem_of(
  q: jax.Array, keys: jax.Array, head_dim: int, form: MqaForm
) -> MqaLogitsProblem:
  """Returns the problem of operands with vectors of `head_dim`."""
  num_rows, num_heads, _ = q.shape
  return MqaLogitsProblem(
    num_rows=num_rows,
    num_keys=keys.shape[0],
    num_heads=num_heads,
    head_dim=head_dim,
    width=form.width(keys.shape[0]),
    compressed=form.is_compressed,
    float32_out=form.out_dtype == np.float32,
  )


def numbers(
  problem: MqaLogitsProblem, fill: float
) -> tuple[launch.Scalar, ...]:
  """Returns the last parameters of the kernel."""
  values = (
    problem.num_rows,
    problem.num_keys,
    problem.width,
    int(problem.compressed),
    fill_bits(fill, problem.float32_out),
  )
  return tuple(map(launch.Scalar, values))


def recipe(config: Sm90Fp8MqaLogitsConfig) -> Recipe:
  """Returns the translation unit of `config` and how to compile it."""
  return gemm_recipe(
    "sm90_fp8_mqa_logits",
    wgmma=f"JDG_DEFINE_WGMMA_E4M3({config.bank_n})",
    kernel_type=f"Sm90Fp8MqaLogits<jdg::{render_struct(config)}>",
    smem_bytes=config.smem_bytes,
  )


def fill_bits(fill: float, float32_out: bool) -> int:
  """Returns 32 bits full of `fill`, as an int32; bfloat16 twice."""
  bits = np.float32(fill).view(np.uint32)
  if not float32_out:
    bits = (bits >> 16) * np.uint32(_BFLOAT16_TWICE)
  return int(np.uint32(bits).view(np.int32))


def _tensor_maps(
  problem: MqaLogitsProblem, config: Sm90Fp8MqaLogitsConfig
) -> tuple[launch.TensorMap, ...]:
  """Maps of q, keys, their scales and the weights."""
  q_rows = problem.num_rows * problem.num_heads
  return (
    vectors_map(_Q, config.head_dim, q_rows, 2 * config.bank_n),
    vectors_map(_KEYS, config.head_dim, problem.num_keys, config.block_kv),
    words_map(_SCALES, problem.num_keys, 1, config.block_kv, 1),
    weights_map(_WEIGHTS, problem, config),
  )


def vectors_map(
  index: int, size: int, rows: int, box_rows: int
) -> launch.TensorMap:
  """Returns the map of `rows` vectors of `size` bytes, swizzled as wide."""
  return launch.TensorMap(
    index=index,
    dtype="u8",
    dims=(size, rows, 1),
    strides=(size, rows * size),
    box=(size, box_rows, 1),
    swizzle=swizzle_of(size),
  )


def swizzle_of(row_bytes: int) -> int:
  """Returns the swizzle of rows as wide; rows of 16 bytes have none."""
  return row_bytes if row_bytes >= _LEAST_SWIZZLE else 0


def weights_map(
  index: int, problem: MqaLogitsProblem, config: Sm90Fp8MqaLogitsConfig
) -> launch.TensorMap:
  """Returns the map of the weights of a block of queries."""
  heads = problem.num_heads
  return words_map(index, heads, problem.num_rows, heads, config.block_q)


def words_map(
  index: int, columns: int, rows: int, box_columns: int, box_rows: int
) -> launch.TensorMap:
  """Returns the map of `[rows, columns]` of 4 bytes; one row of any width."""
  pitch = get_tma_aligned_size(columns, 4) * 4
  return launch.TensorMap(
    index=index,
    dtype="f32",
    dims=(columns, rows, 1),
    strides=(pitch, rows * pitch),
    box=(box_columns, box_rows, 1),
    swizzle=0,
  )
