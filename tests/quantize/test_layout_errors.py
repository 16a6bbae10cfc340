"""Every refused argument of a layout is named, with what came instead."""

import jax.numpy as jnp
import pytest

from jax_deepgemm.alignment import get_tma_aligned_size
from jax_deepgemm.k_grouped_layout import (
  get_k_grouped_mn_major_tma_aligned_packed_ue8m0_tensor,
)
from jax_deepgemm.layout import (
  get_mn_major_tma_aligned_packed_ue8m0_tensor,
  get_mn_major_tma_aligned_tensor,
  transform_sf_into_required_layout,
)
from tests.quantize.refusals import expect_refusal, f32, i32


@pytest.mark.parametrize("elem_bytes", [0, 3, -4, 32])
def test_element_sizes_that_do_not_divide_16_are_refused(elem_bytes):
  with pytest.raises(ValueError) as caught:
    get_tma_aligned_size(8, elem_bytes)
  assert str(caught.value) == (
    f"elem_bytes: expected a divisor of 16, got {elem_bytes}"
  )


@pytest.mark.parametrize(
  "layout",
  [
    get_mn_major_tma_aligned_tensor,
    get_mn_major_tma_aligned_packed_ue8m0_tensor,
  ],
)
def test_layouts_name_the_wrong_dtype_and_rank(layout):
  expect_refusal(
    TypeError,
    "sf: expected an array of float32, got int32",
    layout,
    i32(4, 4),
  )
  expect_refusal(
    ValueError, "sf: expected rank >= 2, got shape (4,)", layout, f32(4)
  )


def test_a_psum_layout_of_the_wrong_kind_is_refused():
  layout = get_mn_major_tma_aligned_packed_ue8m0_tensor
  expect_refusal(
    TypeError,
    "psum_layout: expected an array of int32 or int64, got float32",
    layout,
    f32(4, 1),
    f32(2),
  )
  for sf, ends in ((f32(2, 4, 1), i32(2)), (f32(4, 1), i32(2, 1))):
    expect_refusal(
      ValueError,
      f"psum_layout: expected shape (g,) with sf of rank 2, got {ends.shape} "
      f"with sf of shape {sf.shape}",
      layout,
      sf,
      ends,
    )
  expect_refusal(
    ValueError,
    "mk_alignment: expected an int >= 1, got 0",
    layout,
    f32(4, 1),
    i32(2),
    mk_alignment=0,
  )


@pytest.mark.parametrize("recipe", [(), (128,), (1, 1, 1, 128)])
def test_recipes_of_another_length_are_refused(recipe):
  expect_refusal(
    ValueError,
    "recipe: expected (gran_mn, gran_k) or (gran_m, gran_n, gran_k), got "
    f"{recipe}",
    transform_sf_into_required_layout,
    f32(4, 1),
    4,
    128,
    recipe,
  )


@pytest.mark.parametrize(
  ("recipe", "is_sfa"), [((1, 128), True), ((1, 128, 128), None)]
)
def test_is_sfa_must_fit_the_recipe(recipe, is_sfa):
  expect_refusal(
    ValueError,
    "is_sfa: expected True or False with a recipe of three, None with a "
    f"recipe of two, got {is_sfa} with {recipe}",
    transform_sf_into_required_layout,
    f32(4, 1),
    4,
    128,
    recipe,
    is_sfa=is_sfa,
  )


@pytest.mark.parametrize(
  ("recipe", "is_sfa", "gran_mn", "gran_k"),
  [((2, 128), None, 2, 128), ((1, 64, 64), True, 1, 64)],
)
def test_unknown_granularities_are_refused(recipe, is_sfa, gran_mn, gran_k):
  expect_refusal(
    ValueError,
    "recipe: expected gran_mn of 1 or 128 and gran_k of 32 or 128, got "
    f"gran_mn={gran_mn}, gran_k={gran_k}",
    transform_sf_into_required_layout,
    f32(4, 1),
    4,
    128,
    recipe,
    is_sfa=is_sfa,
  )


def test_the_transformation_names_wrong_shapes_dtypes_and_architectures():
  transform = transform_sf_into_required_layout
  expect_refusal(
    ValueError,
    "sf: expected shape (4, 2), got (4, 1)",
    transform,
    f32(4, 1),
    4,
    129,
    (1, 128),
  )
  expect_refusal(
    ValueError,
    "sf: expected shape (3, 2, 4), got (2, 4)",
    transform,
    f32(2, 4),
    256,
    512,
    (128, 128),
    3,
  )
  expect_refusal(
    ValueError,
    "sf: expected shape (5, 1), got (1, 8)",
    transform,
    i32(1, 8),
    5,
    512,
    (1, 128),
  )
  expect_refusal(
    TypeError,
    "sf: expected an array of float32 or int32, got bfloat16",
    transform,
    jnp.ones((4, 1), jnp.bfloat16),
    4,
    128,
    (1, 128),
  )
  expect_refusal(
    ValueError,
    "sf: expected float32 for the granularity (128, 128) (packed UE8M0 scales "
    "are one per row), got int32",
    transform,
    i32(1, 1),
    4,
    128,
    (128, 128),
  )
  expect_refusal(
    ValueError,
    "arch_major: expected 9 or 10, got 8",
    transform,
    f32(4, 1),
    4,
    128,
    (1, 128),
    arch_major=8,
  )


def test_the_k_grouped_layout_names_wrong_arguments():
  layout = get_k_grouped_mn_major_tma_aligned_packed_ue8m0_tensor
  expect_refusal(
    TypeError,
    "sf: expected an array of float32, got int32",
    layout,
    i32(4, 4),
    i32(2),
  )
  expect_refusal(
    TypeError,
    "grouped_layout: expected an array of int32 or int64, got list",
    layout,
    f32(4, 4),
    [2, 2],
  )
  for sf, sizes in ((f32(4), i32(2)), (f32(4, 4), i32(2, 2))):
    expect_refusal(
      ValueError,
      "sf, grouped_layout: expected shapes (rows, mn) and (g,), got "
      f"{sf.shape} and {sizes.shape}",
      layout,
      sf,
      sizes,
    )
  for name in ("gran_k", "k_alignment"):
    expect_refusal(
      ValueError,
      f"{name}: expected an int >= 1, got 0",
      layout,
      f32(4, 4),
      i32(2),
      **{name: 0},
    )
