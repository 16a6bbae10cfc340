"""calc_diff and count_bytes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_deepgemm.testing import calc_diff, count_bytes, difference

_BOUND = 1e-3


def _noise(seed, shape=(64, 48)):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_equal_arrays_do_not_differ():
  x = _noise(0)
  assert abs(calc_diff(x, x)) < 1e-15


def test_two_zero_arrays_do_not_differ_and_one_differs_fully():
  zeros = np.zeros((3, 5), np.float32)
  assert calc_diff(zeros, zeros) == 0.0
  assert calc_diff(zeros, _noise(0, (3, 5))) == 1.0
  assert calc_diff(np.zeros((0, 4)), np.zeros((0, 4))) == 0.0


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1.0))
def test_it_is_half_the_squared_relative_distance(seed, size):
  x = _noise(seed).astype(np.float64)
  y = x + size * _noise(seed + 1)
  expected = np.sum((x - y) ** 2) / (np.sum(x * x) + np.sum(y * y))
  np.testing.assert_allclose(calc_diff(x, y), expected, rtol=1e-9, atol=1e-14)
  assert calc_diff(x, y) == calc_diff(y, x)


def test_opposite_arrays_differ_by_two():
  x = _noise(3)
  np.testing.assert_allclose(calc_diff(x, -x), 2.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_passes_no_bound(bad):
  x = _noise(0)
  y = x.copy()
  y[7, 5] = bad
  assert not calc_diff(x, y) < _BOUND
  assert not calc_diff(y, y) < _BOUND
  assert not calc_diff(y, x) <= _BOUND


def test_chunks_add_up_to_the_whole(monkeypatch):
  x, y = _noise(0), _noise(1)
  whole = calc_diff(x, y)
  monkeypatch.setattr(difference, "_CHUNK", 1000)
  np.testing.assert_allclose(calc_diff(x, y), whole, rtol=1e-12)


def test_the_sums_are_in_float64():
  x = np.full(1 << 20, 1.0, np.float32)
  y = x.copy()
  y[0] = 1 + 2.0**-12
  expected = 2.0**-24 / (2 * x.size)
  np.testing.assert_allclose(calc_diff(x, y), expected, rtol=0, atol=3e-16)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float8_e4m3fn, jnp.int8])
def test_jax_arrays_of_any_dtype_are_compared_by_value(dtype):
  x = jnp.asarray([[1, -2], [3, 4]], dtype)
  assert abs(calc_diff(x, np.array([[1.0, -2.0], [3.0, 4.0]]))) < 1e-15


def test_arrays_of_different_shapes_are_refused():
  with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\)"):
    calc_diff(np.ones((2, 3)), np.ones((3, 2)))


def test_bytes_are_counted_over_trees():
  tree = {
    "a": jnp.zeros((3, 5), jnp.bfloat16),
    "b": (np.zeros(7, np.float32), None),
  }
  struct = jax.ShapeDtypeStruct((10, 10), jnp.float8_e4m3fn)
  assert count_bytes(tree, struct) == 30 + 28 + 100
  assert count_bytes() == 0
  assert count_bytes(None, []) == 0


def test_what_is_no_array_has_no_bytes():
  with pytest.raises(TypeError, match=r"float 1\.5"):
    count_bytes(jnp.zeros(3), [1.5])
