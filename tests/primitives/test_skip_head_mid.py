"""fp8_gemm_nt_skip_head_mid: columns where they belong, zeros between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from tests.primitives.cuda_lowering import launches, lowered_for_cuda
from tests.primitives.gemm_oracle import (
  assert_is_product,
  dequantized,
  scaled,
)

_SPLITS = [(128, 64, 128), (8, 3, 5), (0, 2, 4), (4, 2, 0), (3, 0, 1)]


def columns(n, splits):
  """Returns where each column of the product goes, and the result's width."""
  left, mid, right = splits
  j = np.arange(n)
  return j + (j + right) // (left + right) * mid, n + n // (left + right) * mid


def normal(shape, seed):
  x = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(x, jnp.float32)


@pytest.mark.parametrize("splits", _SPLITS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_columns_move_and_gaps_are_zero(splits, dtype):
  left, _, right = splits
  m, n, k = 5, 3 * (left + right), 300
  a, b = scaled(m, k, (1, 128), 0), scaled(n, k, (128, 128), 1)
  d = dg.fp8_gemm_nt_skip_head_mid(a, b, splits, out_dtype=dtype)
  where, width = columns(n, splits)
  assert d.shape == (m, width)
  assert d.dtype == dtype
  found = np.asarray(d)
  exact = dequantized(a, (1, 128)), dequantized(b, (128, 128))
  assert_is_product(found[:, where], *exact)
  gaps = np.delete(found, where, axis=1)
  assert gaps.shape[1] == width - n
  assert not gaps.any()


def test_nan_stays_in_its_columns():
  a, b = normal((4, 128), 0), normal((256, 128), 1)
  b = b.at[7].set(jnp.nan)
  d = dg.fp8_gemm_nt_skip_head_mid(a, b, (64, 32, 64))
  gap = np.asarray(d, np.float32).reshape(4, 2, 160)[:, :, 64:96]
  assert not gap.any()
  assert np.isnan(np.asarray(d, np.float32)[:, 7]).all()


def test_gradients_are_those_of_the_product():
  a, b = normal((128, 256), 0), normal((256, 256), 1)
  splits = (64, 32, 64)
  where, width = columns(256, splits)
  weights = normal((128, width), 2)

  def loss(a, b):
    d = dg.fp8_gemm_nt_skip_head_mid(a, b, splits, out_dtype=jnp.float32)
    return (d * weights).sum()

  def product_loss(a, b):
    d = dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32)
    return (d * weights[:, where]).sum()

  found = jax.grad(loss, (0, 1))(a, b)
  expected = jax.grad(product_loss, (0, 1))(a, b)
  for x, y in zip(found, expected, strict=True):
    np.testing.assert_array_equal(x, y)
    assert np.linalg.norm(x) > 1


def test_vmap_is_the_loop_in_one_launch():
  a, b = normal((3, 5, 128), 0), normal((24, 128), 1)

  def gemm(a):
    return dg.fp8_gemm_nt_skip_head_mid(a, b, (5, 2, 3))

  mapped = jax.vmap(gemm)(a)
  np.testing.assert_array_equal(mapped, np.stack([gemm(x) for x in a]))
  assert len(launches(lowered_for_cuda(jax.vmap(gemm), a))) == 3  # Two casts.


def test_on_cuda_the_gaps_are_in_the_program_of_the_kernel():
  a = dg.per_token_cast_to_fp8(jnp.ones((64, 256), jnp.bfloat16))
  b = dg.per_block_cast_to_fp8(jnp.ones((512, 256), jnp.bfloat16))
  text = lowered_for_cuda(
    lambda a, b: dg.fp8_gemm_nt_skip_head_mid(a, b, (128, 64, 128)), a, b
  )
  assert len(launches(text)) == 1
  assert "tensor<64x640xbf16>" in text


@pytest.mark.parametrize("heads", [2, 1])
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_a_sharded_product_has_its_gaps(axis_type, heads):
  mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(axis_type,) * 2)
  splits = (256 // heads - 96, 32, 96)
  a, b = normal((256, 128), 0), normal((256, 128), 1)
  expected = dg.fp8_gemm_nt_skip_head_mid(a, b, splits)

  def place(x, axis):
    return jax.device_put(x, NamedSharding(mesh, P(axis)))

  with jax.set_mesh(mesh):
    d = jax.jit(lambda a, b: dg.fp8_gemm_nt_skip_head_mid(a, b, splits))(
      place(a, "x"), place(b, "y")
    )
  np.testing.assert_array_equal(d, expected)
  if axis_type == AxisType.Explicit:
    wanted = P("x", "y") if heads == 2 else P("x", None)
    assert jax.typeof(d).sharding.spec == wanted


def test_under_shard_map_it_is_the_shards():
  mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))
  a, b = normal((8, 128), 0), normal((256, 128), 1)

  def gemm(a, b):
    return dg.fp8_gemm_nt_skip_head_mid(a, b, (64, 32, 64))

  mapped = jax.shard_map(
    gemm, mesh=mesh, in_specs=(P(), P("x")), out_specs=P(None, "x")
  )
  np.testing.assert_array_equal(jax.jit(mapped)(a, b), gemm(a, b))


@pytest.mark.parametrize(("m", "n"), [(0, 16), (4, 0)])
def test_nothing_stays_nothing(m, n):
  a, b = jnp.ones((m, 128)), jnp.ones((n, 128))
  d = dg.fp8_gemm_nt_skip_head_mid(a, b, (4, 2, 4))
  assert d.shape == (m, n // 8 * 10)


@pytest.mark.parametrize(
  ("splits", "error", "message"),
  [
    ((1, 2), ValueError, r"must be \(left, mid, right\), none below 0"),
    ((1, -1, 1), ValueError, "none below 0"),
    ((0, 3, 0), ValueError, "left or right above 0"),
    ((3, 1, 2), ValueError, "n must be a multiple of left .* got 16 and 3"),
    ((1.0, 1, 1), TypeError, "three integers"),
    ((True, 1, 1), TypeError, "three integers"),
    (3, TypeError, "three integers"),
  ],
)
def test_splits_that_make_no_heads_are_refused(splits, error, message):
  a, b = jnp.ones((4, 128)), jnp.ones((16, 128))
  with pytest.raises(error, match=message):
    dg.fp8_gemm_nt_skip_head_mid(a, b, splits)
