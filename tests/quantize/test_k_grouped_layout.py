"""The packed layout of scales whose K dimension is cut into groups."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_deepgemm.k_grouped_layout import (
  get_k_grouped_mn_major_tma_aligned_packed_ue8m0_tensor as k_grouped_layout,
)
from tests import oracle


def _rows(sizes, gran_k):
  return sum(-(-size // gran_k) for size in sizes)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=5, max_size=5))
def test_any_group_sizes_equal_the_oracle(sizes):
  sf = oracle.powers_of_two((50, 6), 1)
  result = k_grouped_layout(jnp.asarray(sf), jnp.asarray(sizes, jnp.int32), 4)
  assert result.dtype == jnp.int32
  np.testing.assert_array_equal(result, oracle.k_grouped_pack(sf, sizes, 4))


@pytest.mark.parametrize("mn", [0, 1, 4, 9])
@pytest.mark.parametrize("sizes", [[], [0], [7], [0, 0, 5], [1, 2, 3, 4]])
@pytest.mark.parametrize("spare", [0, 5])
def test_any_shape_equals_the_oracle(sizes, mn, spare):
  sf = oracle.powers_of_two((sum(sizes) + spare, mn), 1)
  result = k_grouped_layout(jnp.asarray(sf), jnp.asarray(sizes, jnp.int32), 1)
  np.testing.assert_array_equal(result, oracle.k_grouped_pack(sf, sizes, 1))


@pytest.mark.parametrize("gran_k", [32, 128])
def test_many_groups_of_many_rows_equal_the_oracle(gran_k):
  sizes = list(np.random.default_rng(2).integers(0, 1024, 24) // 32 * 32)
  sf = oracle.powers_of_two((_rows(sizes, gran_k), 17), 3)
  result = k_grouped_layout(
    jnp.asarray(sf), jnp.asarray(sizes, jnp.int32), gran_k
  )
  np.testing.assert_array_equal(
    result, oracle.k_grouped_pack(sf, sizes, gran_k)
  )


@pytest.mark.parametrize("alignment", [32, 128, 160, 224])
def test_ends_of_aligned_groups_mean_the_sizes_between_them(alignment):
  sizes = [100, 0, 320, 33, alignment]
  ends, end = [], 0
  for size in sizes:
    end = -(-end // alignment) * alignment + size
    ends.append(end)
  sf = oracle.powers_of_two((_rows(sizes, 32), 5), 4)
  result = k_grouped_layout(
    jnp.asarray(sf),
    jnp.asarray(ends, jnp.int32),
    32,
    k_alignment=alignment,
    use_psum_layout=True,
  )
  np.testing.assert_array_equal(result, oracle.k_grouped_pack(sf, sizes, 32))


def test_rows_past_the_last_group_may_hold_anything():
  sf = oracle.powers_of_two((9, 4), 5)
  expected = oracle.k_grouped_pack(sf, [5, 1], 1)
  sf[6:] = np.nan
  result = k_grouped_layout(jnp.asarray(sf), jnp.array([5, 1], jnp.int32), 1)
  np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("wrong", [1000, 2**31 - 1])
def test_sizes_beyond_the_array_read_nothing_outside_of_it(wrong):
  sf = oracle.powers_of_two((6, 4), 6)
  # Eight of them: their sum does not fit in an int32.
  sizes = jnp.array([2] + [wrong] * 8, jnp.int32)
  result = np.asarray(k_grouped_layout(jnp.asarray(sf), sizes, 1))
  assert result.shape == ((6 + 3 * 9) // 4, 4)
  np.testing.assert_array_equal(
    result[:2], oracle.k_grouped_pack(sf, [2, 4], 1)[:2]
  )
  assert not result[2:].any()


def test_negative_sizes_count_as_empty_groups():
  sf = oracle.powers_of_two((4, 4), 7)
  sizes = jnp.array([-5, 4, -1], jnp.int32)
  np.testing.assert_array_equal(
    k_grouped_layout(jnp.asarray(sf), sizes, 1),
    oracle.k_grouped_pack(sf, [0, 4, 0], 1),
  )


def test_one_compiled_function_serves_all_group_sizes():
  traces = []

  @jax.jit
  def layout(sf, sizes):
    traces.append(sizes.shape)
    return k_grouped_layout(sf, sizes, 32)

  sf = oracle.powers_of_two((12, 5), 8)
  for sizes in ([0, 384, 0], [128, 128, 128], [1, 2, 3], [33, 65, 97]):
    result = layout(jnp.asarray(sf), jnp.asarray(sizes, jnp.int32))
    np.testing.assert_array_equal(result, oracle.k_grouped_pack(sf, sizes, 32))
  assert len(traces) == 1


def test_vmap_gives_the_result_of_each_element():
  sf = jnp.asarray(oracle.powers_of_two((3, 8, 6), 9))
  sizes = jnp.array([[1, 7], [8, 0], [3, 3]], jnp.int32)
  layout = partial(k_grouped_layout, gran_k=1)
  expected = [layout(a, b) for a, b in zip(sf, sizes, strict=True)]
  np.testing.assert_array_equal(jax.vmap(layout)(sf, sizes), expected)
