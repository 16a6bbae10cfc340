"""What K-grouped GEMMs refuse, and what they say then."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.k_grouped_data import quantised

SIZES = np.array([100, 100], np.int32)
A, B = quantised(4, (100, 100), 200, 1), quantised(6, (100, 100), 200, 2)
PLAIN = np.ones((200, 4), jnp.bfloat16)
FLAT = (np.zeros(4 * 200, jnp.float8_e4m3fn), A[1].T)

CASES = {
  "no scales": ({"a": A[0]}, TypeError, "a of float8_e4m3fn needs its scales"),
  "dtype of a plain operand": (
    {"a": np.ones((200, 4), np.int32)},
    TypeError,
    "a must be an array of bfloat16 or float32, got int32 of shape (200, 4)",
  ),
  "dtype of values": (
    {"a": (PLAIN, A[1])},
    TypeError,
    "values of a must be float8_e4m3fn, got bfloat16 of shape (200, 4)",
  ),
  "dtype of scales": (
    {"b": (B[0], np.ones((4, 6), np.int32))},
    TypeError,
    "scales of b must be float32, got int32",
  ),
  "rank of scales": (
    {"b": (B[0], B[1][0])},
    ValueError,
    "scales of b must have shape [blocks of K, n], got (6,)",
  ),
  "columns of scales": (
    {"a": (A[0], B[1])},
    ValueError,
    "scales of a must have shape [blocks of K, m] with m = 4, got m = 6",
  ),
  "rank of values": (
    {"a": (A[0][None], A[1])},
    ValueError,
    "values of a must have shape [sum_k, m], got (1, 200, 4)",
  ),
  "flat values": (
    {"a": FLAT},
    ValueError,
    "values of a must have shape [sum_k, m], got (800,)",
  ),
  "no array": ({"a": "x"}, TypeError, "a must be an array, got str"),
  "different sum_k": (
    {"a": PLAIN[:100]},
    ValueError,
    "a and b must have the same sum_k, got 100 and 200",
  ),
  "dtype of sizes": (
    {"group_sizes": SIZES.astype(np.float32)},
    TypeError,
    "group_sizes: expected an array of int32 or int64, got float32",
  ),
  "sizes on the host": (
    {"group_sizes": [100, 100]},
    TypeError,
    "group_sizes: expected an array of int32 or int64, got list",
  ),
  "rank of sizes": (
    {"group_sizes": SIZES[None]},
    ValueError,
    "group_sizes must have shape [g], got (1, 2)",
  ),
  "dtype of c": (
    {"c": np.ones((2, 4, 6), jnp.bfloat16)},
    TypeError,
    "c must be a float32 array or None, got bfloat16",
  ),
  "c that is no array": (
    {"c": 1.0},
    TypeError,
    "c must be a float32 array or None, got float",
  ),
  "shape of c": (
    {"c": np.ones((4, 6), np.float32)},
    ValueError,
    "c must have shape [g, m, n] = (2, 4, 6), got (4, 6)",
  ),
  "recipe": (
    {"recipe": (1, 128, 128)},
    ValueError,
    "recipe must be (1, 1, 128), got (1, 128, 128)",
  ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_argument_is_named(name):
  changes, kind, message = CASES[name]
  arguments = {"a": A, "b": B, "group_sizes": SIZES} | changes
  with pytest.raises(kind, match=re.escape(message)):
    dg.k_grouped_fp8_gemm_tn_contiguous(**arguments)


def nt(a, **kwargs):
  b = (B[0].T, B[1].T)
  return dg.k_grouped_fp8_gemm_nt_contiguous(a, b, SIZES, **kwargs)


def test_flat_values_are_whole_rows():
  message = "must have a multiple of 4 elements, the rows of its scales, got 7"
  with pytest.raises(ValueError, match=message):
    nt((FLAT[0][:7], FLAT[1]))


def test_flat_values_have_no_gaps():
  with pytest.raises(ValueError, match="use_psum_layout needs matrices"):
    nt(FLAT, use_psum_layout=True)


def test_flat_values_are_counted_in_32_bits():
  values = jax.ShapeDtypeStruct((2**31,), jnp.float8_e4m3fn)
  with pytest.raises(ValueError, match=r"must have fewer than 2\*\*31"):
    jax.eval_shape(lambda x: nt((x, FLAT[1])), values)


def test_bf16_takes_bf16_alone():
  with pytest.raises(TypeError, match="a must be an array of bfloat16, got"):
    dg.k_grouped_bf16_gemm_tn_contiguous(PLAIN.astype(np.float32), PLAIN, SIZES)
