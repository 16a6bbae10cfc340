"""One weight matrix times activations: error, path and times."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import lax

from jax_deepgemm.gemm import fp8_gemm_nt
from jax_deepgemm.primitives.launch import TARGET_NAME
from jax_deepgemm.primitives.reference import dequantize
from jax_deepgemm.quantize import per_block_cast_to_fp8, per_token_cast_to_fp8
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.testing import bench, calc_diff

# Rounding both operands to e4m3 gives 7e-4 on random data; DeepGEMM's bound.
ERROR_BOUND = 1e-3

_KERNEL_PREFIX = "sm90_"
_WEIGHT_RECIPE = (128, 128)


@dataclasses.dataclass(frozen=True)
class Measurement:
  """What was found for one product `[m, k] x [n, k]`.

  Attributes:
    name: of the weight.
    m: rows of the activations.
    n: rows of the weight.
    k: columns of both.
    path: "kernel" or "reference": how the product is computed here.
    diff: `calc_diff` of the FP8 product and the float32 product.
    weight_diff: `calc_diff` of the quantised weight and the weight.
    gemm_us: median microseconds of the product of quantised operands.
    tflops: 2 m n k / gemm_us, in 10**12 per second.
    cast_and_gemm_us: the same with the cast of the activations.
    bf16_dot_us: the product of bfloat16 operands.
  """

  name: str
  m: int
  n: int
  k: int
  path: str
  diff: float
  weight_diff: float
  gemm_us: float
  tflops: float
  cast_and_gemm_us: float
  bf16_dot_us: float

  @property
  def passed(self) -> bool:
    """Whether the error is within the bound; NaN is not."""
    return self.diff < ERROR_BOUND


def measure(name: str, x: jax.Array, weight: jax.Array) -> Measurement:
  """Returns error and times of x @ weight.T in FP8.

  Args:
    name: of the weight.
    x: `[m, k]` bfloat16 activations.
    weight: `[n, k]` bfloat16, float16 or float32.
  """
  (m, k), n = x.shape, weight.shape[0]
  quantized_x = per_token_cast_to_fp8(x)
  quantized_weight = per_block_cast_to_fp8(weight)
  path = path_of(quantized_x, quantized_weight)
  prefix = _KERNEL_PREFIX if path == "kernel" else ""
  time = functools.partial(bench, num_tests=20 if _is_on_gpu(x) else 3)
  gemm_us = time(
    _gemm, quantized_x, quantized_weight, kernel_name=prefix
  ).run.median
  return Measurement(
    name=name,
    m=m,
    n=n,
    k=k,
    path=path,
    diff=calc_diff(_cast_and_gemm(x, quantized_weight), _exact(x, weight)),
    weight_diff=calc_diff(_dequantized(quantized_weight), weight),
    gemm_us=gemm_us,
    tflops=2 * m * n * k / gemm_us / 1e6,
    cast_and_gemm_us=time(_cast_and_gemm, x, quantized_weight).run.median,
    bf16_dot_us=time(_bf16_dot, x, weight.astype(jnp.bfloat16)).run.median,
  )


def path_of(a: ScaledArray, b: ScaledArray) -> str:
  """Returns "kernel" if a @ b.T is one of our launches here, else "reference".

  Found in the program that JAX lowers, so it is what runs.
  """
  program = _gemm.lower(a, b).as_text()
  return "kernel" if TARGET_NAME in program else "reference"


def _is_on_gpu(x: jax.Array) -> bool:
  return all(device.platform == "gpu" for device in x.devices())


@jax.jit
def _gemm(a: ScaledArray, b: ScaledArray) -> jax.Array:
  return fp8_gemm_nt(a, b)


@jax.jit
def _cast_and_gemm(x: jax.Array, weight: ScaledArray) -> jax.Array:
  return fp8_gemm_nt(per_token_cast_to_fp8(x), weight)


@jax.jit
def _bf16_dot(x: jax.Array, weight: jax.Array) -> jax.Array:
  return lax.dot_general(x, weight, (((1,), (1,)), ((), ())))


@jax.jit
def _exact(x: jax.Array, weight: jax.Array) -> jax.Array:
  return lax.dot_general(
    x.astype(jnp.float32),
    weight.astype(jnp.float32),
    (((1,), (1,)), ((), ())),
    precision=lax.Precision.HIGHEST,
  )


@jax.jit
def _dequantized(weight: ScaledArray) -> jax.Array:
  return dequantize(weight.values, weight.scales, _WEIGHT_RECIPE)
