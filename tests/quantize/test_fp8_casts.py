"""The casts to e4m3fn against the float64 oracle."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_deepgemm.quantize import (
  per_block_cast_to_fp8,
  per_channel_cast_to_fp8,
  per_custom_dims_cast_to_fp8,
  per_token_cast_to_fp8,
)
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.ue8m0 import unpack_ue8m0_from_int
from tests import oracle

_CASTS = {
  "per_token": (per_token_cast_to_fp8, lambda gran: (1, gran)),
  "per_channel": (per_channel_cast_to_fp8, lambda gran: (gran, 1)),
  "per_block": (per_block_cast_to_fp8, lambda gran: (gran, gran)),
}
_DTYPES = [np.dtype(np.float32), np.dtype(np.float16), oracle.BFLOAT16]
_LARGEST = float(np.finfo(np.float32).max)


def _check(x, cast, block, gran_k, use_ue8m0):
  result = cast(jnp.asarray(x), use_ue8m0, gran_k)
  codes, scales = oracle.cast_to_fp8(x, *block(gran_k), use_ue8m0)
  assert isinstance(result, ScaledArray)
  assert result.values.dtype == jnp.float8_e4m3fn
  assert result.scales.dtype == jnp.float32
  assert result.scales.shape == scales.shape
  np.testing.assert_array_equal(result.scales, scales)
  np.testing.assert_array_equal(
    np.asarray(result.values).astype(np.float64), codes
  )


@pytest.mark.parametrize("name", _CASTS)
@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
@pytest.mark.parametrize("use_ue8m0", [False, True])
def test_codes_and_scales_equal_the_oracle(name, dtype, use_ue8m0):
  x = oracle.matrix((130, 259), 0, dtype)
  _check(x, *_CASTS[name], 128, use_ue8m0)


@settings(max_examples=10, deadline=None)
@given(
  name=st.sampled_from(sorted(_CASTS)),
  m=st.integers(0, 9),
  n=st.integers(0, 40),
  gran_k=st.sampled_from([1, 3, 8, 32, 128]),
  use_ue8m0=st.booleans(),
)
def test_any_shape_and_granularity_equals_the_oracle(
  name, m, n, gran_k, use_ue8m0
):
  _check(oracle.matrix((m, n), m + n), *_CASTS[name], gran_k, use_ue8m0)


@settings(max_examples=50, deadline=None)
@given(
  st.lists(
    st.floats(width=32, allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 1e-4, 448.0, -448.0, _LARGEST, -_LARGEST]),
    min_size=16,
    max_size=16,
  )
)
def test_any_finite_values_equal_the_oracle_and_never_become_nan(numbers):
  x = np.array(numbers, np.float32).reshape(2, 8)
  _check(x, *_CASTS["per_token"], 8, False)
  _check(x, *_CASTS["per_token"], 8, True)


@pytest.mark.parametrize("use_ue8m0", [False, True])
def test_values_are_within_half_a_step_of_the_exact_quotient(use_ue8m0):
  x = oracle.matrix((64, 512), 5)
  values, scales = per_token_cast_to_fp8(jnp.asarray(x), use_ue8m0)
  spread = np.repeat(np.asarray(scales, np.float64), 128, axis=1)
  exact = x / spread
  error = np.abs(np.asarray(values).astype(np.float64) - exact)
  # The two float32 roundings before the cast add 2**-23 of the quotient.
  bound = oracle.e4m3fn_half_step(exact) + np.abs(exact) * 2.0**-22
  assert np.all(error <= bound)


def test_the_largest_value_of_each_block_becomes_448_for_any_amax():
  amax = 1 + np.random.default_rng(7).random((4096, 1), np.float32)
  x = jnp.asarray(amax * np.array([[1, -1]], np.float32))
  values = np.asarray(per_token_cast_to_fp8(x).values).astype(np.float32)
  np.testing.assert_array_equal(np.abs(values), 448)


def test_a_block_of_zeros_has_codes_of_zero_and_the_smallest_scale():
  values, scales = per_token_cast_to_fp8(jnp.zeros((3, 130), jnp.bfloat16))
  assert not np.asarray(values).astype(np.float32).any()
  expected = np.float32(float(np.float32(1e-4)) / 448)
  np.testing.assert_array_equal(scales, np.full((3, 2), expected))


def test_amax_is_clamped_from_below_at_one_ten_thousandth():
  floor = np.float32(1e-4)
  x = np.array([[floor / 2], [floor], [floor * 2], [1e-38]], np.float32)
  _check(x, *_CASTS["per_token"], 128, False)
  scales = np.asarray(per_token_cast_to_fp8(jnp.asarray(x)).scales)[:, 0]
  assert scales[0] == scales[1] == scales[3] == scales[2] / 2


def test_every_block_has_its_own_power_of_two():
  exponents = np.arange(-12, 12).reshape(4, 6)
  amax = np.ldexp(np.float32(448), exponents).astype(np.float32)
  x = jnp.asarray(np.repeat(np.repeat(amax, 4, axis=0), 4, axis=1))
  for cast, repeats in (
    (per_token_cast_to_fp8, (4, 1)),
    (per_channel_cast_to_fp8, (1, 4)),
    (per_block_cast_to_fp8, (1, 1)),
  ):
    values, scales = cast(x, False, 4)
    expected = np.ldexp(1.0, exponents)
    for axis, count in enumerate(repeats):
      expected = np.repeat(expected, count, axis=axis)
    np.testing.assert_array_equal(scales, expected)
    assert np.all(np.asarray(values).astype(np.float32) == 448)


@pytest.mark.parametrize("use_ue8m0", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", _CASTS)
def test_a_value_that_is_not_finite_makes_its_block_nan_and_no_other(
  name, bad, use_ue8m0
):
  cast, block = _CASTS[name]
  x = oracle.matrix((8, 8), 3)
  x[5, 2] = bad
  values, scales = cast(jnp.asarray(x), use_ue8m0, 4)
  gran_m, gran_n = block(4)
  spread = np.repeat(np.repeat(scales, gran_m, axis=0), gran_n, axis=1)
  with np.errstate(invalid="ignore"):
    product = np.asarray(values).astype(np.float32) * spread
  rows = np.arange(8)[:, None] // gran_m == 5 // gran_m
  columns = np.arange(8) // gran_n == 2 // gran_n
  np.testing.assert_array_equal(np.isnan(product), rows & columns)
  expected = np.inf if use_ue8m0 else abs(bad)
  np.testing.assert_array_equal(scales[5 // gran_m, 2 // gran_n], expected)


@pytest.mark.parametrize("blocks", [1, 3, 4, 5, 8])
def test_packed_scales_hold_the_same_exponents_filled_up_with_one(blocks):
  x = jnp.asarray(oracle.matrix((5, 32 * blocks - 7), blocks))
  plain = per_token_cast_to_fp8(x, True, 32)
  packed = per_token_cast_to_fp8(x, True, 32, use_packed_ue8m0=True)
  assert packed.scales.dtype == jnp.int32
  assert packed.scales.shape == (5, -(-blocks // 4))
  np.testing.assert_array_equal(
    packed.scales, oracle.pack_exponents(np.asarray(plain.scales), 1.0)
  )
  np.testing.assert_array_equal(
    np.asarray(packed.values).view(np.uint8),
    np.asarray(plain.values).view(np.uint8),
  )


def test_a_packed_scale_of_a_block_with_nan_is_byte_255():
  x = np.ones((1, 8), np.float32)
  x[0, 5] = np.nan
  scales = per_token_cast_to_fp8(jnp.asarray(x), True, 4, True).scales
  four = np.asarray(scales).view(np.uint8)
  assert list(four[0]) == [119, 255, 127, 127]
  assert np.isinf(np.asarray(unpack_ue8m0_from_int(scales))[0, 1])


@pytest.mark.parametrize(
  ("name", "use_ue8m0"),
  [("per_token", True), ("per_channel", False), ("per_block", False)],
)
def test_jit_and_vmap_give_the_bits_of_one_operation_at_a_time(name, use_ue8m0):
  cast = partial(_CASTS[name][0], use_ue8m0=use_ue8m0, gran_k=32)
  x = jnp.asarray(oracle.matrix((2, 70, 100), 11, oracle.BFLOAT16))
  with jax.disable_jit():
    eager = cast(x)
  for batched in (cast(x), jax.jit(cast)(x), jax.vmap(cast)(x)):
    for got, expected in zip(batched, eager, strict=True):
      assert np.asarray(got).tobytes() == np.asarray(expected).tobytes()


def test_scales_are_correctly_rounded_inside_a_fusion():
  x = jnp.asarray(oracle.matrix((1 << 16, 1), 13))

  @jax.jit
  def fused(x):
    doubled = x * np.float32(2)
    values, scales = per_token_cast_to_fp8(doubled)
    return scales, values.astype(jnp.float32) * scales

  scales, product = fused(x)
  amax = np.maximum(np.abs(2 * np.asarray(x, np.float64)), np.float32(1e-4))
  expected = (amax / 448).astype(np.float32)
  np.testing.assert_array_equal(scales, expected)
  # 448, unless the clamp of amax made the code smaller.
  is_clamped = np.abs(2 * np.asarray(x)) < 1e-4
  np.testing.assert_array_equal(
    np.abs(product)[~is_clamped], (448 * expected)[~is_clamped]
  )


@settings(max_examples=12, deadline=None)
@given(
  shape=st.lists(st.integers(0, 4), min_size=0, max_size=4),
  data=st.data(),
  use_ue8m0=st.booleans(),
)
def test_custom_dims_have_one_scale_per_index(shape, data, use_ue8m0):
  rank = len(shape)
  kept = data.draw(st.sets(st.integers(0, max(rank - 1, 0)), max_size=rank))
  dims = [d - rank * data.draw(st.booleans()) for d in sorted(kept)]
  x = np.asarray(oracle.matrix((*shape, 1), 17)[..., 0])
  values, scales = per_custom_dims_cast_to_fp8(jnp.asarray(x), dims, use_ue8m0)
  assert scales.shape == tuple(shape[d] for d in sorted(kept))
  assert values.shape == x.shape
  for index in np.ndindex(scales.shape):
    where = [slice(None)] * rank
    for d, i in zip(sorted(kept), index, strict=True):
      where[d] = i
    part = x[tuple(where)]
    expected = oracle.scale(part, 448, use_ue8m0)
    assert np.asarray(scales)[index] == expected
    np.testing.assert_array_equal(
      np.asarray(values)[tuple(where)].astype(np.float64),
      oracle.round_to_e4m3fn(oracle.scaled(part, expected)),
    )


def test_custom_dims_of_all_dimensions_still_clamp_amax():
  scales = per_custom_dims_cast_to_fp8(jnp.zeros((2, 3)), (0, 1)).scales
  expected = np.float32(float(np.float32(1e-4)) / 448)
  np.testing.assert_array_equal(scales, np.full((2, 3), expected))


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
def test_a_nan_is_found_in_long_rows(dtype):
  # Where compilers turn a maximum into vector instructions that ignore it.
  x = oracle.matrix((17, 1160), 3, dtype)
  x[:, 3::128] = np.nan
  values, scales = per_token_cast_to_fp8(jnp.asarray(x))
  assert np.all(np.isnan(scales))
  assert np.all(np.isnan(np.asarray(values).astype(np.float32)))
