"""FP8 times FP4 on a GPU through the public functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.testing import calc_diff
from tests.primitives.cuda_lowering import launches, lowered_for_cuda
from tests.primitives.fp4_oracle import dequantized_fp4, fp4, transposed_fp4
from tests.primitives.gemm_oracle import dequantized, scaled

pytestmark = pytest.mark.gpu

M, N, K = 130, 264, 640
# FP8 tensor cores keep about 14 bits of a sum.
BOUND = 1e-6


def place(layout, a, b):
  """Returns operands `[m, k]` and `[n, k]` as `layout` has them."""

  def flip(x):
    if x.values.dtype == np.int8:
      return transposed_fp4(x, K)
    return dg.ScaledArray(x.values.T, x.scales.T)

  a = flip(a) if layout[0] == "t" else a
  return a, flip(b) if layout[1] == "n" else b


@pytest.mark.parametrize("layout", ["nt", "nn", "tn", "tt"])
@pytest.mark.parametrize("fp4_side", ["a", "b"])
@pytest.mark.parametrize("with_c", [False, True])
def test_every_layout_and_side_has_the_kernel(layout, fp4_side, with_c):
  if fp4_side == "b":
    a, b = scaled(M, K, (1, 128), 1), fp4(N, K, 5)
    exact = dequantized(a, (1, 128)) @ dequantized_fp4(b, K).T
  else:
    a, b = fp4(M, K, 5), scaled(N, K, (1, 128), 1)
    exact = dequantized_fp4(a, K) @ dequantized(b, (1, 128)).T
  c = jnp.asarray(exact[::-1].copy(), jnp.float32) if with_c else None
  gemm = getattr(dg, f"fp8_fp4_gemm_{layout}")
  with dg.options(implementation="kernel"):
    d = jax.jit(lambda a, b, c: gemm(a, b, c, out_dtype=jnp.float32))(
      *place(layout, a, b), c
    )
  if with_c:
    exact = exact + np.asarray(c, np.float64)
  assert calc_diff(np.asarray(d, np.float64), exact) < BOUND


@pytest.mark.parametrize("m", [1, 7, 200])
def test_a_layer_is_two_launches_and_near_the_plain_product(m):
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(m, 1024)), jnp.bfloat16)
  w = jnp.asarray(rng.normal(size=(512, 1024)), jnp.bfloat16)

  def layer(x, w):
    return dg.fp8_fp4_gemm_nt(x, w, out_dtype=jnp.float32)

  with dg.options(implementation="kernel"):
    packed = dg.per_token_cast_to_fp4(w, True, 32, True)
    assert len(launches(lowered_for_cuda(layer, x, packed))) == 2
    d = jax.jit(layer)(x, packed)
  exact = np.asarray(x, np.float64) @ np.asarray(w, np.float64).T
  assert calc_diff(np.asarray(d, np.float64), exact) < 1e-2


def test_gradients_with_kernels_are_those_of_the_reference():
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(M, K)), jnp.float32)
  c = jnp.asarray(rng.normal(size=(M, N)), jnp.float32)
  b = fp4(N, K, 5, -3, 0)

  def gradients(implementation):
    def loss(x, c):
      return jnp.sum(dg.fp8_fp4_gemm_nt(x, b, c) ** 2)

    with dg.options(implementation=implementation):
      return jax.jit(jax.grad(loss, (0, 1)))(x, c)

  for kernel, reference in zip(
    gradients("kernel"), gradients("reference"), strict=True
  ):
    assert calc_diff(kernel, reference) < 1e-3


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_a_vmap_is_one_launch_and_right(axes):
  a, b = scaled(M, K, (1, 128), 1), fp4(N, K, 5)
  inputs = [
    jax.tree.map(lambda x: jnp.stack([x, x[::-1]]), x) if axis == 0 else x
    for x, axis in zip((a, b), axes, strict=True)
  ]

  def gemm(a, b):
    return dg.fp8_fp4_gemm_nt(a, b, out_dtype=jnp.float32)

  mapped = jax.vmap(gemm, axes)
  with dg.options(implementation="kernel"):
    assert len(launches(lowered_for_cuda(mapped, *inputs))) == 1
    found = jax.jit(mapped)(*inputs)
  with dg.options(implementation="reference"):
    expected = jax.jit(mapped)(*inputs)
  assert calc_diff(found, expected) < BOUND
