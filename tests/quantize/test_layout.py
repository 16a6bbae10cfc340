"""Layouts of scale factors against the oracle's loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_deepgemm.layout import (
  get_mn_major_tma_aligned_packed_ue8m0_tensor,
  get_mn_major_tma_aligned_tensor,
  transform_sf_into_required_layout,
)
from jax_deepgemm.quantize import per_block_cast_to_fp8, per_token_cast_to_fp8
from tests import oracle


@jax.jit
def _both(sf):
  return (
    get_mn_major_tma_aligned_tensor(sf),
    get_mn_major_tma_aligned_packed_ue8m0_tensor(sf),
  )


def _packed(sf):
  return oracle.mn_major(oracle.pack_exponents(sf))


@settings(max_examples=12, deadline=None)
@given(mn=st.integers(0, 13), blocks=st.integers(0, 9))
def test_any_shape_is_transposed_and_padded_with_zeros(mn, blocks):
  sf = oracle.powers_of_two((mn, blocks), mn)
  plain, packed = _both(jnp.asarray(sf))
  np.testing.assert_array_equal(plain, oracle.mn_major(sf))
  np.testing.assert_array_equal(packed, _packed(sf))


@pytest.mark.parametrize("mn", [4096, 4097])
@pytest.mark.parametrize("k", [128, 7168, 7296])
def test_large_operands_keep_every_scale(mn, k):
  sf = oracle.powers_of_two((mn, -(-k // 128)), k)
  plain, packed = map(np.asarray, _both(jnp.asarray(sf)))
  assert plain.shape == (sf.shape[1], -(-mn // 4) * 4)
  np.testing.assert_array_equal(plain[:, :mn], sf.T)
  assert not plain[:, mn:].any()
  four = packed.astype("<i4").view(np.uint8).reshape((*packed.shape, 4))
  exponents = np.swapaxes(four, 1, 2).reshape(-1, packed.shape[1])
  expected = np.log2(sf.T).astype(np.int64) + 127
  np.testing.assert_array_equal(exponents[: sf.shape[1], :mn], expected)
  assert not exponents[sf.shape[1] :].any()
  assert not exponents[:, mn:].any()


@pytest.mark.parametrize(
  "layout",
  [
    get_mn_major_tma_aligned_tensor,
    get_mn_major_tma_aligned_packed_ue8m0_tensor,
  ],
)
def test_groups_jit_and_vmap_are_the_same_as_one_group_at_a_time(layout):
  sf = jnp.asarray(oracle.powers_of_two((3, 5, 6), 2))
  expected = np.stack([layout(one) for one in sf])
  for got in (layout(sf), jax.jit(layout)(sf), jax.vmap(layout)(sf)):
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
  ("ends", "alignment"),
  [([3, 9, 20], 8), ([0, 0, 24], 8), ([24], 8), ([5, 6, 7], 1), ([], 8)],
)
def test_rows_in_the_gaps_between_groups_become_zero(ends, alignment):
  sf = oracle.powers_of_two((24, 5), 4)
  live = {row for rows in oracle.psum_rows(ends, alignment) for row in rows}
  gaps = [row for row in range(24) if row not in live]
  poisoned = sf.copy()
  poisoned[gaps] = np.nan
  sf[gaps] = 0
  layout = jnp.asarray(ends, jnp.int32)
  np.testing.assert_array_equal(
    get_mn_major_tma_aligned_packed_ue8m0_tensor(
      jnp.asarray(poisoned), layout, mk_alignment=alignment
    ),
    _packed(sf),
  )
  np.testing.assert_array_equal(
    transform_sf_into_required_layout(
      jnp.asarray(poisoned),
      24,
      640,
      (1, 128),
      psum_layout=layout,
      mk_alignment=alignment,
    ),
    oracle.mn_major(sf),
  )


@pytest.mark.parametrize("gran_k", [32, 128])
@pytest.mark.parametrize("groups", [None, 2])
@pytest.mark.parametrize(
  ("arch_major", "disable"), [(9, False), (9, True), (10, True), (10, False)]
)
@pytest.mark.parametrize("gran_mn", [1, 128])
def test_float32_scales_get_the_layout_of_the_architecture(
  gran_mn, arch_major, disable, groups, gran_k
):
  mn, k = 133, 500
  natural = (-(-mn // gran_mn), -(-k // gran_k))
  sf = oracle.powers_of_two((groups or 1, *natural), 6)
  result = transform_sf_into_required_layout(
    jnp.asarray(sf if groups else sf[0]),
    mn,
    k,
    (gran_mn, gran_k),
    groups,
    disable_ue8m0_cast=disable,
    arch_major=arch_major,
  )
  if arch_major == 10 and not disable:
    expected = [
      _packed(np.array([one[i // gran_mn] for i in range(mn)])) for one in sf
    ]
  elif gran_mn == 1:
    expected = [oracle.mn_major(one) for one in sf]
  else:
    expected = sf
  np.testing.assert_array_equal(result, expected if groups else expected[0])


@pytest.mark.parametrize("arch_major", [9, 10])
@pytest.mark.parametrize("gran_k", [32, 128])
def test_packed_scales_of_a_cast_get_the_same_layout_everywhere(
  gran_k, arch_major
):
  x = jnp.asarray(oracle.matrix((7, 8 * gran_k), 8))
  sf = per_token_cast_to_fp8(x, True, gran_k, True).scales
  result = transform_sf_into_required_layout(
    sf, 7, 8 * gran_k, (1, gran_k), arch_major=arch_major
  )
  assert result.shape == (2, 8)
  np.testing.assert_array_equal(result, oracle.mn_major(np.asarray(sf)))


def test_three_numbers_pick_the_granularity_of_the_operand():
  x = jnp.asarray(oracle.matrix((200, 300), 9))
  rows, blocks = (
    per_token_cast_to_fp8(x).scales,
    per_block_cast_to_fp8(x).scales,
  )
  recipe = (1, 128, 128)
  np.testing.assert_array_equal(
    transform_sf_into_required_layout(rows, 200, 300, recipe, is_sfa=True),
    oracle.mn_major(np.asarray(rows)),
  )
  np.testing.assert_array_equal(
    transform_sf_into_required_layout(blocks, 200, 300, recipe, is_sfa=False),
    blocks,
  )


def test_scales_that_are_no_powers_of_two_stay_visible_when_packed():
  sf = jnp.full((4, 1), 3.0, jnp.float32)
  result = transform_sf_into_required_layout(
    sf, 4, 128, (1, 128), arch_major=10
  )
  assert np.asarray(result).tolist() == [[255, 255, 255, 255]]
