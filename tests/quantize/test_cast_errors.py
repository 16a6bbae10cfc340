"""Every refused argument of a cast is named, with what came instead."""

import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.fp4 import (
  cast_back_from_fp4,
  per_token_cast_to_fp4,
  transpose_packed_fp4,
)
from jax_deepgemm.quantize import (
  per_block_cast_to_fp8,
  per_channel_cast_to_fp8,
  per_custom_dims_cast_to_fp8,
  per_token_cast_to_fp8,
)
from jax_deepgemm.ue8m0 import (
  ceil_to_ue8m0,
  pack_ue8m0_to_int,
  unpack_ue8m0_from_int,
)
from tests.quantize.refusals import expect_refusal, f32, i32

_CASTS = [
  per_token_cast_to_fp8,
  per_channel_cast_to_fp8,
  per_block_cast_to_fp8,
  per_token_cast_to_fp4,
]
_FLOATS = "bfloat16 or float16 or float32"


@pytest.mark.parametrize("cast", _CASTS)
def test_casts_name_the_wrong_dtype_rank_and_granularity(cast):
  message = f"x: expected an array of {_FLOATS}, got "
  expect_refusal(TypeError, message + "int32", cast, i32(2, 4))
  expect_refusal(TypeError, message + "float64", cast, np.zeros((2, 4)))
  expect_refusal(TypeError, message + "list", cast, [[1.0, 2.0]])
  expect_refusal(
    ValueError, "x: expected rank >= 2, got shape (4,)", cast, f32(4)
  )
  for gran_k in (0, -128, 1.5):
    expect_refusal(
      ValueError,
      f"gran_k: expected an int >= 1, got {gran_k}",
      cast,
      f32(2, 4),
      gran_k=gran_k,
    )


@pytest.mark.parametrize("cast", [per_token_cast_to_fp8, per_token_cast_to_fp4])
def test_packing_without_ue8m0_is_refused(cast):
  expect_refusal(
    ValueError,
    "use_packed_ue8m0: True keeps exponents only and needs use_ue8m0=True, "
    "got use_ue8m0=False",
    cast,
    f32(2, 4),
    use_packed_ue8m0=True,
  )


@pytest.mark.parametrize("dims", [(2,), (-3,), (0, 0), (1, -1)])
def test_custom_dims_out_of_range_or_repeated_are_refused(dims):
  expect_refusal(
    ValueError,
    f"dims: expected distinct dimensions of an array of rank 2, got {dims}",
    per_custom_dims_cast_to_fp8,
    f32(2, 4),
    dims,
  )


def test_custom_dims_name_the_wrong_dtype():
  expect_refusal(
    TypeError,
    f"x: expected an array of {_FLOATS}, got int32",
    per_custom_dims_cast_to_fp8,
    i32(2, 4),
    (0,),
  )


def test_fp4_refuses_an_odd_number_of_elements():
  expect_refusal(
    ValueError,
    "x: expected an even last dimension (two FP4 codes share a byte), got "
    "shape (4, 7)",
    per_token_cast_to_fp4,
    f32(4, 7),
  )
  expect_refusal(
    ValueError,
    "a: expected an even number of rows (two of them share a byte of the "
    "transpose), got shape (3, 8)",
    transpose_packed_fp4,
    jnp.zeros(
      (
        3,
        8,
      ),
      jnp.int8,
    ),
  )


def test_fp4_names_the_wrong_dtype_rank_and_scale_shape():
  packed = jnp.zeros(
    (
      4,
      64,
    ),
    jnp.int8,
  )
  message = "expected an array of int8, got uint8"
  unsigned = jnp.zeros(
    (
      4,
      64,
    ),
    jnp.uint8,
  )
  expect_refusal(TypeError, f"a: {message}", transpose_packed_fp4, unsigned)
  expect_refusal(
    TypeError, f"packed: {message}", cast_back_from_fp4, unsigned, f32(4, 1)
  )
  flat = jnp.zeros((4,), jnp.int8)
  expect_refusal(
    ValueError,
    "a: expected rank >= 2, got shape (4,)",
    transpose_packed_fp4,
    flat,
  )
  expect_refusal(
    ValueError,
    "packed: expected rank >= 2, got shape (4,)",
    cast_back_from_fp4,
    flat,
    f32(1),
  )
  expect_refusal(
    TypeError,
    "sf: expected an array of float32, got int32",
    cast_back_from_fp4,
    packed,
    i32(4, 1),
  )
  expect_refusal(
    TypeError,
    "sf: expected an array of int32, got float32",
    cast_back_from_fp4,
    packed,
    f32(4, 1),
    use_packed_ue8m0=True,
  )
  expect_refusal(
    ValueError,
    "sf: expected shape (4, 4), got (4, 1)",
    cast_back_from_fp4,
    packed,
    f32(4, 1),
    32,
  )
  expect_refusal(
    ValueError,
    "gran_k: expected an int >= 1, got 0",
    cast_back_from_fp4,
    packed,
    f32(4, 1),
    0,
  )


def test_ue8m0_names_the_wrong_dtype_rank_and_size():
  expect_refusal(
    TypeError,
    "x: expected an array of float32 or bfloat16 or float16, got int32",
    ceil_to_ue8m0,
    i32(4),
  )
  expect_refusal(
    TypeError,
    "x: expected an array of float32, got bfloat16",
    pack_ue8m0_to_int,
    jnp.ones(4, jnp.bfloat16),
  )
  expect_refusal(
    ValueError,
    "x: expected a last dimension that is a multiple of 4, got shape (2, 6)",
    pack_ue8m0_to_int,
    f32(2, 6),
  )
  expect_refusal(
    ValueError, "x: expected rank >= 1, got shape ()", pack_ue8m0_to_int, f32()
  )
  expect_refusal(
    TypeError,
    "packed: expected an array of int32, got float32",
    unpack_ue8m0_from_int,
    f32(4),
  )
  expect_refusal(
    ValueError,
    "packed: expected rank >= 1, got shape ()",
    unpack_ue8m0_from_int,
    i32(),
  )
