"""Rows of several arrays travel as bytes and are what they were."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jax_deepgemm import packed_rows

_RANDOM = np.random.default_rng(0)


def _any_bits(dtype, *shape):
  """Returns an array of any bits, those of NaN included."""
  size = int(np.prod(shape)) * np.dtype(dtype).itemsize
  return np.frombuffer(_RANDOM.bytes(size), dtype).reshape(shape)


@pytest.mark.parametrize("rows", [5, 0])
def test_arrays_come_back_with_their_bits(rows):
  given = [
    _any_bits(ml_dtypes.float8_e4m3fn, rows, 7),
    _any_bits(np.float32, rows),
    _any_bits(ml_dtypes.bfloat16, rows, 3, 5),
    _any_bits(np.int32, rows, 2),
  ]
  arrays = [jnp.asarray(x) for x in given]
  packed = jax.jit(packed_rows.pack)(arrays)
  # 7 + 4 + 30 + 8 bytes, in whole pieces of 16.
  assert (packed.shape, packed.dtype) == ((rows, 64), jnp.uint8)
  found = packed_rows.unpack(packed, map(packed_rows.row_of, arrays))
  for x, expected in zip(found, given, strict=True):
    assert (x.shape, x.dtype) == (expected.shape, expected.dtype)
    assert np.asarray(x).tobytes() == expected.tobytes()
