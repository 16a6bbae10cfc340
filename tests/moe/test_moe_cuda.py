"""What `moe_mlp` launches on a Hopper GPU."""

import collections

import jax
import jax.numpy as jnp

import jax_deepgemm as dg
from tests.primitives.cuda_lowering import (
  attribute,
  launches,
  lowered_for_cuda,
)


def kernels(**settings):
  """Returns how often a step of training launches each kernel."""

  def step(x, w_gate, w_up, w_down, sizes, dy):
    y, pull = jax.vjp(
      lambda *arrays: dg.moe_mlp(*arrays, sizes, **settings),
      x,
      w_gate,
      w_up,
      w_down,
    )
    return y, pull(dy)

  shapes = [(1024, 512), (4, 512, 256), (4, 512, 256), (4, 256, 512)]
  arrays = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
  sizes = jax.ShapeDtypeStruct((4,), jnp.int32)
  with dg.options(device="NVIDIA H200", implementation="kernel"):
    text = lowered_for_cuda(step, *arrays, sizes, arrays[0])
  return collections.Counter(
    attribute(line, "kernel").strip('"') for line in launches(text)
  )


def test_a_step_is_six_casts_and_six_products():
  assert kernels() == {
    # Two weights, x, the activation, dy and dh, each in both orientations.
    "sm90_cast_tile": 6,
    "sm90_m_grouped_fp8_gemm": 4,
    "sm90_k_grouped_fp8_gemm": 2,
  }


def test_in_bfloat16_nothing_is_cast():
  # Gate and up are two products.
  assert kernels(compute_dtype=jnp.bfloat16) == {
    "sm90_m_grouped_bf16_gemm": 6,
    "sm90_k_grouped_bf16_gemm": 3,
  }
