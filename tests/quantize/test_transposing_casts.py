"""Casts that transpose, both ways at once, and by groups of K."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests import oracle

X = oracle.matrix((200, 135), 1)


def _same(actual, expected):
  np.testing.assert_array_equal(
    np.asarray(actual).astype(np.float32),
    np.asarray(expected).astype(np.float32),
  )


@pytest.mark.parametrize("use_ue8m0", [False, True])
@pytest.mark.parametrize("gran_k", [32, 128])
def test_a_transposing_cast_is_the_cast_of_the_transpose(use_ue8m0, gran_k):
  values, scales = dg.per_channel_transposed_cast_to_fp8(
    jnp.asarray(X), use_ue8m0, gran_k
  )
  codes, expected = oracle.cast_to_fp8(X.T, 1, gran_k, use_ue8m0)
  _same(values, codes)
  _same(scales, expected)


@pytest.mark.parametrize("use_ue8m0", [False, True])
def test_both_ways_are_those_of_two_casts(use_ue8m0):
  both = dg.per_token_and_channel_cast_to_fp8(jnp.asarray(X), use_ue8m0)
  for pair, x in zip(both, (X, X.T), strict=True):
    codes, scales = oracle.cast_to_fp8(x, 1, 128, use_ue8m0)
    _same(pair.values, codes)
    _same(pair.scales, scales)


def _grouped(x, sizes):
  """Returns values and scales of `k_grouped_cast_to_fp8`, a group at a time."""
  rows, columns = x.shape
  padded = -(-rows // 128) * 128 + 128 * len(sizes)
  values = np.zeros((columns, padded))
  scales = np.zeros((padded // 128, -(-columns // 4) * 4))
  row = place = 0
  for size in sizes:
    group = x[row : row + max(size, 0)]
    row += len(group)
    if len(group):
      codes, sf = oracle.cast_to_fp8(group, 128, 1, False)
      values[:, place : place + len(group)] = codes.T
      blocks = slice(place // 128, place // 128 + len(sf))
      scales[blocks, :columns] = sf
      place += len(sf) * 128
  return values, scales


@pytest.mark.parametrize(
  "sizes",
  [
    (200,),
    (130, 0, 70),
    (0, 0, 5),
    (128, 72, 0),
    (),
    (-7, 60, 2**31 - 1, 4),
    (1,) * 40,
  ],
  ids=str,
)
def test_groups_start_at_multiples_of_128(sizes):
  x = X.copy()
  x[sum(min(max(size, 0), 200) for size in sizes) :] = np.nan
  values, scales = jax.jit(dg.k_grouped_cast_to_fp8)(
    jnp.asarray(x), jnp.array(sizes, jnp.int32)
  )
  expected_values, expected_scales = _grouped(x, sizes)
  _same(values, expected_values)
  _same(scales, expected_scales)


def test_sizes_and_x_of_other_forms_are_refused():
  x, sizes = jnp.asarray(X), jnp.array([200], jnp.int32)
  with pytest.raises(
    TypeError, match="group_sizes: expected an array of int32"
  ):
    dg.k_grouped_cast_to_fp8(x, sizes.astype(jnp.float32))
  with pytest.raises(ValueError, match=r"expected shapes \(sum_k, m\) and"):
    dg.k_grouped_cast_to_fp8(x[None], sizes)
