"""The casts to and from packed e2m1 against the float64 oracle."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_deepgemm.fp4 import (
  cast_back_from_fp4,
  per_token_cast_to_fp4,
  transpose_packed_fp4,
)
from tests import oracle


def _check(x, gran_k, use_ue8m0):
  values, scales = per_token_cast_to_fp4(jnp.asarray(x), use_ue8m0, gran_k)
  codes, expected = oracle.cast_to_fp4(x, gran_k, use_ue8m0)
  assert values.dtype == jnp.int8
  assert scales.shape == expected.shape
  np.testing.assert_array_equal(scales, expected)
  np.testing.assert_array_equal(values, oracle.pack_fp4(codes))


def _all_codes():
  """Returns [16, 16] packed int8 that holds every byte once."""
  return np.arange(256, dtype=np.uint8).view(np.int8).reshape(16, 16)


@pytest.mark.parametrize("use_ue8m0", [False, True])
@pytest.mark.parametrize(
  "dtype",
  [np.dtype(np.float32), np.dtype(np.float16), oracle.BFLOAT16],
  ids=str,
)
def test_codes_and_scales_equal_the_oracle(dtype, use_ue8m0):
  _check(oracle.matrix((7, 262), 1, dtype), 128, use_ue8m0)


@settings(max_examples=10, deadline=None)
@given(
  m=st.integers(0, 6),
  half=st.integers(0, 24),
  gran_k=st.sampled_from([1, 3, 16, 32, 128]),
  use_ue8m0=st.booleans(),
)
def test_any_shape_and_granularity_equals_the_oracle(
  m, half, gran_k, use_ue8m0
):
  _check(oracle.matrix((m, 2 * half), m + half), gran_k, use_ue8m0)


def test_ties_go_towards_zero_and_minus_zero_is_never_written():
  # amax 6 makes the scale exactly 1.
  ties = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0]
  x = np.array([ties, [-t for t in ties]], np.float32)
  values, scales = per_token_cast_to_fp4(jnp.asarray(x))
  np.testing.assert_array_equal(scales, np.ones((2, 1)))
  codes = oracle.unpack_fp4(np.asarray(values))
  assert list(codes[0]) == [0, 1, 2, 3, 4, 5, 6, 7]
  assert list(codes[1]) == [0, 9, 10, 11, 12, 13, 14, 15]


def test_just_above_a_tie_rounds_up():
  ties = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], np.float32)
  above = np.nextafter(ties, np.float32(10))
  x = np.append(above, np.float32(6))[None]
  codes = oracle.unpack_fp4(
    np.asarray(per_token_cast_to_fp4(jnp.asarray(x))[0])
  )
  assert list(codes[0]) == [1, 2, 3, 4, 5, 6, 7, 7]


def test_the_even_element_lies_in_the_low_nibble():
  x = jnp.array([[0.5, -6.0]], jnp.float32)
  values, _ = per_token_cast_to_fp4(x)
  assert np.asarray(values).view(np.uint8).tolist() == [[0xF1]]


def test_numbers_that_fp4_holds_come_back_exactly():
  magnitudes = np.array(oracle.E2M1, np.float32)
  row = np.concatenate([magnitudes, -magnitudes])
  x = np.stack([row * np.float32(2.0**e) for e in (-9, 0, 20)])
  scaled = per_token_cast_to_fp4(jnp.asarray(x), True, 16)
  np.testing.assert_array_equal(cast_back_from_fp4(*scaled, 16), x)


def test_extreme_magnitudes_equal_the_oracle():
  largest = np.finfo(np.float32).max
  row = [largest, -largest / 7, 1e-4, 1e-30, 1e-45, 0.0, -0.0, -1e-4]
  x = np.array([row, row[::-1]], np.float32)
  for gran_k in (1, 2, 8):
    _check(x, gran_k, False)
    _check(x, gran_k, True)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("n", [2, 32, 62, 128, 130])
def test_casting_back_multiplies_each_code_by_the_scale_of_its_block(
  n, is_packed
):
  rng = np.random.default_rng(n)
  packed = rng.integers(-128, 128, (3, n // 2)).astype(np.int8)
  blocks = -(-n // 32)
  exponents = np.arange(3 * blocks).reshape(3, blocks) - 7
  scales = np.ldexp(np.float32(1), exponents).astype(np.float32)
  sf = oracle.pack_exponents(scales, 1.0) if is_packed else scales
  result = cast_back_from_fp4(
    jnp.asarray(packed), jnp.asarray(sf), 32, use_packed_ue8m0=is_packed
  )
  codes = oracle.unpack_fp4(packed)
  expected = [
    [oracle.e2m1_value(codes[r, c]) * scales[r, c // 32] for c in range(n)]
    for r in range(3)
  ]
  assert result.dtype == jnp.float32
  np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("blocks", [1, 4, 6])
def test_packed_scales_are_filled_up_with_one(blocks):
  x = jnp.asarray(oracle.matrix((3, 32 * blocks), blocks))
  plain = per_token_cast_to_fp4(x, True, 32)
  packed = per_token_cast_to_fp4(x, True, 32, True)
  np.testing.assert_array_equal(
    packed.scales, oracle.pack_exponents(np.asarray(plain.scales), 1.0)
  )
  np.testing.assert_array_equal(packed.values, plain.values)
  np.testing.assert_array_equal(
    cast_back_from_fp4(*packed, 32, True), cast_back_from_fp4(*plain, 32)
  )


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_makes_its_block_nan_and_no_other(
  bad, is_packed
):
  x = oracle.matrix((3, 12), 3)
  x[1, 5] = bad
  scaled = per_token_cast_to_fp4(jnp.asarray(x), is_packed, 4, is_packed)
  back = cast_back_from_fp4(*scaled, 4, is_packed)
  expected = np.zeros((3, 12), bool)
  expected[1, 4:8] = True
  np.testing.assert_array_equal(np.isnan(back), expected)


@pytest.mark.parametrize("shape", [(16, 16), (2, 1), (6, 5), (0, 3), (4, 0)])
def test_the_packed_transpose_holds_the_transposed_codes(shape):
  packed = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
  if shape == (16, 16):
    packed = _all_codes()
  result = transpose_packed_fp4(jnp.asarray(packed))
  assert result.dtype == jnp.int8
  assert result.shape == (2 * shape[1], shape[0] // 2)
  np.testing.assert_array_equal(
    oracle.unpack_fp4(np.asarray(result)), oracle.unpack_fp4(packed).T
  )


def test_transposing_twice_gives_the_same_bytes_back():
  packed = jnp.asarray(_all_codes())
  twice = transpose_packed_fp4(transpose_packed_fp4(packed))
  np.testing.assert_array_equal(twice, packed)


@pytest.mark.parametrize("is_packed", [False, True])
def test_jit_and_vmap_give_the_bits_of_one_operation_at_a_time(is_packed):
  cast = partial(
    per_token_cast_to_fp4,
    use_ue8m0=is_packed,
    gran_k=32,
    use_packed_ue8m0=is_packed,
  )
  back = partial(cast_back_from_fp4, gran_k=32, use_packed_ue8m0=is_packed)

  def both(x):
    scaled = cast(x)
    return *scaled, back(*scaled), transpose_packed_fp4(scaled.values)

  x = jnp.asarray(oracle.matrix((2, 10, 100), 11, oracle.BFLOAT16))
  with jax.disable_jit():
    eager = both(x)
  for batched in (both(x), jax.jit(both)(x), jax.vmap(both)(x)):
    for got, expected in zip(batched, eager, strict=True):
      assert np.asarray(got).tobytes() == np.asarray(expected).tobytes()
