"""Rounding to UE8M0 and packing of exponents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_deepgemm.alignment import align, ceil_div, get_tma_aligned_size
from jax_deepgemm.ue8m0 import (
  ceil_to_ue8m0,
  pack_ue8m0_to_int,
  unpack_ue8m0_from_int,
)
from tests import oracle

_EXPONENTS = np.arange(-126, 128)
_POWERS = np.ldexp(np.float32(1), _EXPONENTS).astype(np.float32)


def test_every_power_of_two_stays_and_its_successor_doubles():
  after = np.nextafter(_POWERS, np.float32(np.inf))
  np.testing.assert_array_equal(ceil_to_ue8m0(jnp.asarray(_POWERS)), _POWERS)
  np.testing.assert_array_equal(ceil_to_ue8m0(jnp.asarray(-_POWERS)), _POWERS)
  doubled = np.append(_POWERS[1:], _POWERS[-1])
  np.testing.assert_array_equal(ceil_to_ue8m0(jnp.asarray(after)), doubled)


def test_the_ends_of_the_range_are_clamped():
  largest = np.finfo(np.float32).max
  x = np.array([0, -0.0, 1e-45, 2.0**-126, largest, np.inf, np.nan], np.float32)
  low, high = 2.0**-126, 2.0**127
  expected = [low, low, low, low, high, high, high]
  np.testing.assert_array_equal(ceil_to_ue8m0(jnp.asarray(x)), expected)


@settings(max_examples=100, deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_rounding_up_equals_the_oracle(x):
  expected = oracle.round_up_to_power_of_two(abs(x))
  assert float(ceil_to_ue8m0(jnp.float32(x))) == expected


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_floats_are_rounded_up_as_float32(dtype):
  result = ceil_to_ue8m0(jnp.array([0.75, 3.0], dtype))
  assert result.dtype == jnp.float32
  assert result.tolist() == [1.0, 4.0]


def test_the_first_scale_lies_in_the_lowest_byte():
  x = jnp.array([2.0**-126, 1.0, 2.0, 2.0**127], jnp.float32)
  packed = pack_ue8m0_to_int(x)
  assert packed.dtype == jnp.int32
  assert np.asarray(packed).view(np.uint32).tolist() == [0xFE80_7F01]


def test_all_exponents_survive_packing_and_unpacking():
  x = jnp.asarray(np.append(_POWERS, _POWERS[:2]).reshape(2, 128))
  packed = pack_ue8m0_to_int(x)
  np.testing.assert_array_equal(packed, oracle.pack_exponents(np.asarray(x)))
  np.testing.assert_array_equal(unpack_ue8m0_from_int(packed), x)


def test_all_bytes_survive_unpacking_and_packing():
  packed = jnp.asarray(np.arange(256, dtype=np.uint8).view("<i4"))
  scales = unpack_ue8m0_from_int(packed)
  assert scales[0] == 0
  np.testing.assert_array_equal(scales[1:255], _POWERS)
  assert scales[255] == np.inf
  np.testing.assert_array_equal(pack_ue8m0_to_int(scales), packed)


@pytest.mark.parametrize(
  "bad", [3.0, 1.0000001, -1.0, -0.0, 2.0**-127, np.inf, -np.inf, np.nan]
)
def test_what_is_no_power_of_two_packs_to_byte_255(bad):
  x = jnp.array([1.0, bad, 0.0, 2.0], jnp.float32)
  four = np.asarray(pack_ue8m0_to_int(x)).view(np.uint8)
  assert four.tolist() == [127, 255, 0, 128]


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 8), (2, 3, 4)])
def test_shapes_of_any_rank_and_size_pack_and_unpack(shape):
  x = oracle.powers_of_two(shape, 0)
  packed = pack_ue8m0_to_int(jnp.asarray(x))
  assert packed.shape == (*shape[:-1], shape[-1] // 4)
  np.testing.assert_array_equal(unpack_ue8m0_from_int(packed), x)


def test_jit_and_vmap_give_the_bits_of_one_operation_at_a_time():
  x = jnp.asarray(oracle.matrix((3, 5, 8), 0))

  def chain(x):
    rounded = ceil_to_ue8m0(x)
    packed = pack_ue8m0_to_int(rounded)
    return rounded, packed, unpack_ue8m0_from_int(packed)

  with jax.disable_jit():
    eager = chain(x)
  for batched in (jax.jit(chain)(x), jax.vmap(chain)(x)):
    for got, expected in zip(batched, eager, strict=True):
      np.testing.assert_array_equal(got, expected)


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_sizes_are_rounded_up_to_whole_multiples(x, y):
  blocks = ceil_div(x, y)
  assert (blocks - 1) * y < x <= blocks * y == align(x, y)


@pytest.mark.parametrize("elem_bytes", [1, 2, 4, 8, 16])
def test_the_tma_pitch_is_the_next_multiple_of_16_bytes(elem_bytes):
  for x in range(70):
    size = get_tma_aligned_size(x, elem_bytes)
    assert size * elem_bytes % 16 == 0
    assert 0 <= (size - x) * elem_bytes < 16
