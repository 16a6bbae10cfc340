"""QArrays in and out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.testing import calc_diff

qwix = pytest.importorskip("qwix")

from jax_deepgemm.integrations.qwix import from_qarray, to_qarray  # noqa: E402

F8 = jnp.float8_e4m3fn


def matrix(*shape):
  """Returns values whose rows and columns differ by powers of two."""
  random = np.random.default_rng(sum(shape))
  exponents = random.integers(-6, 6, shape).astype(np.float32)
  return jnp.asarray(
    (random.standard_normal(shape) * np.exp2(exponents)).astype(np.float32)
  )


def dequantized(scaled, tile):
  values, scales = (np.asarray(x, np.float64) for x in scaled)
  for axis, edge in zip((-2, -1), tile, strict=True):
    scales = scales.repeat(edge, axis)
  return values * scales[..., : values.shape[-2], : values.shape[-1]]


CASTS = {
  "rows": (dg.per_token_cast_to_fp8, (5, 256), (1, 128)),
  "blocks": (dg.per_block_cast_to_fp8, (256, 384), (128, 128)),
  "one block": (dg.per_block_cast_to_fp8, (100, 96), (128, 128)),
  "columns": (dg.per_channel_cast_to_fp8, (256, 7), (128, 1)),
  "groups": (jax.vmap(dg.per_block_cast_to_fp8), (3, 128, 256), (128, 128)),
}


@pytest.mark.parametrize("name", CASTS)
def test_qarrays_stand_for_the_same_numbers_there_and_back(name):
  cast, shape, tile = CASTS[name]
  scaled = dg.ScaledArray(*cast(matrix(*shape)))
  qarray = to_qarray(scaled, tile)
  np.testing.assert_array_equal(
    qwix.dequantize(qarray), dequantized(scaled, tile).astype(np.float32)
  )
  for found, expected in zip(from_qarray(qarray), scaled, strict=True):
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_packed_scales_are_unpacked():
  x = matrix(3, 640)
  packed = dg.per_token_cast_to_fp8(x, use_ue8m0=True, use_packed_ue8m0=True)
  plain = dg.ScaledArray(*dg.per_token_cast_to_fp8(x, use_ue8m0=True))
  assert packed[1].dtype == jnp.int32
  found = to_qarray(dg.ScaledArray(*packed))
  np.testing.assert_array_equal(found.scale, plain.scales)


def test_scales_of_larger_tiles_are_repeated():
  x = matrix(2, 256, 384)
  per_row = qwix.quantize(x, F8, channelwise_axes=(0, 1))
  found = from_qarray(per_row, (1, 128))
  assert found.scales.shape == (2, 256, 3)
  per_array = qwix.quantize(x, F8)
  blocks = from_qarray(per_array, (128, 128))
  assert blocks.scales.shape == (2, 2, 3)
  tiled = qwix.quantize(
    x, F8, tiled_axes={1: 128, 2: 128}, channelwise_axes=[0]
  )
  rows = from_qarray(tiled, (1, 32))
  assert rows.scales.shape == (2, 256, 12)
  for scaled, tile, qarray in (
    (found, (1, 128), per_row),
    (blocks, (128, 128), per_array),
    (rows, (1, 32), tiled),
  ):
    np.testing.assert_array_equal(
      dequantized(scaled, tile).astype(np.float32), qwix.dequantize(qarray)
    )


def test_gemms_take_qarrays_as_they_come():
  x, w = matrix(7, 256), matrix(128, 256)
  a = qwix.quantize(x, F8, tiled_axes={1: 128}, channelwise_axes=[0])
  b = qwix.quantize(w, F8, tiled_axes={0: 128, 1: 128})
  exact = np.float64(qwix.dequantize(a)) @ np.float64(qwix.dequantize(b)).T
  found = jax.jit(dg.fp8_gemm_nt)(a, b)
  assert calc_diff(found, jnp.asarray(exact, jnp.float32)) < 1e-5
  # Scales in bfloat16 are converted first.
  half = a.astype(jnp.bfloat16)
  with pytest.raises(TypeError, match="scales of a must be float32"):
    dg.fp8_gemm_nt(half, b)
  exact = np.float64(half.qvalue) * np.float64(half.scale).repeat(128, 1)
  exact = exact @ np.float64(qwix.dequantize(b)).T
  found = dg.fp8_gemm_nt(from_qarray(half), b)
  assert calc_diff(found, jnp.asarray(exact, jnp.float32)) < 1e-5


def qarray(shape=(4, 256), scales=(4, 2), dtype=F8, **fields):
  return qwix.QArray(
    qvalue=jnp.zeros(shape, dtype), scale=jnp.ones(scales), **fields
  )


@pytest.mark.parametrize(
  ("given", "tile", "error", "message"),
  [
    (jnp.zeros((4, 256)), None, TypeError, "expected a qwix.QArray"),
    (qarray(dtype=jnp.int8), None, TypeError, "float8_e4m3fn, got int8"),
    (
      qarray(zero_point=jnp.zeros((4, 2), F8)),
      None,
      ValueError,
      "no zero_point",
    ),
    (qarray(scales=(4, 1)), None, ValueError, "give the tile"),
    # 192 values of 2 scales have tiles of 96, not of 128 and 64.
    (qarray((4, 192)), None, ValueError, "give the tile"),
    (qarray((4, 192)), (1, 128), ValueError, "tiles of whole"),
    (qarray(scales=(4, 8)), (1, 128), ValueError, "tiles of whole"),
    (qarray(scales=(2,)), (1, 128), ValueError, "shape"),
    (qarray(), (1, 64), ValueError, "tile: expected one of"),
  ],
)
def test_qarrays_that_are_refused(given, tile, error, message):
  with pytest.raises(error, match=message):
    from_qarray(given, tile)


@pytest.mark.parametrize(
  ("shape", "scales", "tile", "message"),
  [
    ((4, 192), jnp.ones((4, 2)), (1, 128), "multiples of tile"),
    ((4, 256), jnp.ones((4, 1)), (1, 128), "scales: expected shape"),
    ((4, 256), jnp.ones((4, 2)), (1, 64), "tile: expected one of"),
    ((256, 4), jnp.ones((2, 1), jnp.int32), (128, 1), "unpack"),
  ],
)
def test_pairs_that_are_refused(shape, scales, tile, message):
  with pytest.raises(ValueError, match=message):
    to_qarray(dg.ScaledArray(jnp.zeros(shape, F8), scales), tile)
