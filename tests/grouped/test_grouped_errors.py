"""What the m-grouped GEMMs refuse, and what they say then."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.grouped.grouped_oracle import (
  BF16,
  FP8,
  LAYOUTS,
  bf16_operands,
  multiply,
  operands,
  problem,
)

P = {layout: problem(layout, [5, 0, 17], spare=3) for layout in LAYOUTS}
A, B = operands(P["ragged"], 9, 140)
A_BF16, B_BF16 = bf16_operands(P["ragged"], 9, 140)
SIZES = P["ragged"].numbers
NAMES = {
  "index": "grouped_layout must have shape [m] = (35,)",
  "psum": "grouped_layout must have shape [g] = (3,)",
  "ragged": "group_sizes must have shape [g] = (3,)",
  "masked": "masked_m must have shape [g] = (3,)",
}


def f32(*shape):
  return np.ones(shape, np.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_array_is_named_with_its_shape(layout):
  p = P[layout]
  a, b = bf16_operands(p, 9, 140)
  message = f"{NAMES[layout]}, got (4,)".replace("35", str(p.rows))
  for functions in (FP8, BF16):
    with pytest.raises(ValueError, match=re.escape(message)):
      multiply(functions, p, a, b, numbers=np.zeros(4, np.int32))
    name = message.split()[0]
    for numbers, found in ((SIZES.astype(np.uint8), "uint8"), ([1], "list")):
      text = f"{name} must be an int32 array on the device, got {found}"
      with pytest.raises(TypeError, match=text):
        multiply(functions, p, a, b, numbers=numbers)


FP8_CASES = {
  "rank of a": (
    {"a": f32(1, 25, 140)},
    ValueError,
    "a must have shape [m, k], got (1, 25, 140)",
  ),
  "rank of b": (
    {"b": f32(9, 140)},
    ValueError,
    "b must have shape [g, n, k], got (9, 140)",
  ),
  "rank of values": (
    {"b": (B.values[0], B.scales)},
    ValueError,
    "values of b must have shape [g, n, k], got (9, 140)",
  ),
  "shape of scales": (
    {"b": (B.values, B.scales[:, :, :1])},
    ValueError,
    "float32 scales of b must have shape (3, 1, 2) for values of shape"
    " (3, 9, 140) and granularity (rows, k) = (128, 128), got (3, 1, 1)",
  ),
  "k": (
    {"a": f32(25, 141)},
    ValueError,
    "a and b must have the same k, got 141 and 140",
  ),
  "dtype": ({"a": f32(25, 140).astype(np.int8)}, TypeError, "got int8"),
  "out_dtype": (
    {"out_dtype": jnp.float16},
    TypeError,
    "out_dtype must be bfloat16 or float32, got float16",
  ),
  "recipe": (
    {"recipe": (1, 64, 128)},
    ValueError,
    "recipe must have a scale for each",
  ),
  "expected_m": (
    {"expected_m": 0},
    ValueError,
    "expected_m must be >= 1, got 0",
  ),
  "type of expected_m": (
    {"expected_m": 8.0},
    TypeError,
    "expected_m must be an integer or None, got 8.0",
  ),
}


@pytest.mark.parametrize(
  ("changed", "error", "message"), FP8_CASES.values(), ids=FP8_CASES
)
def test_a_wrong_argument_is_named(changed, error, message):
  arguments = {"a": A, "b": B, "group_sizes": SIZES} | changed
  with pytest.raises(error, match=re.escape(message)):
    dg.m_grouped_fp8_gemm_nt_ragged(**arguments)


@pytest.mark.parametrize(
  ("changed", "error", "message"),
  [
    ({"a": [1]}, TypeError, "a must be a bfloat16 array, got list"),
    (
      {"b": f32(3, 9, 140)},
      TypeError,
      "b must be a bfloat16 array, got float32 of shape (3, 9, 140)",
    ),
    (
      {"b": B_BF16[0]},
      ValueError,
      "b must have shape [g, n, k], got (9, 140)",
    ),
  ],
  ids=["no array", "dtype", "rank"],
)
def test_a_wrong_bf16_operand_is_named(changed, error, message):
  arguments = {"a": A_BF16, "b": B_BF16, "group_sizes": SIZES} | changed
  with pytest.raises(error, match=re.escape(message)):
    dg.m_grouped_bf16_gemm_nt_ragged(**arguments)


def test_masked_operands_have_the_same_groups():
  a, b = bf16_operands(P["masked"], 9, 140)
  for f in (dg.m_grouped_fp8_gemm_nt_masked, dg.m_grouped_bf16_gemm_nt_masked):
    with pytest.raises(
      ValueError, match="a and b must have the same number of groups, got 2"
    ):
      f(a[:2], b, SIZES)


def test_flags_are_bools():
  with pytest.raises(TypeError, match="use_psum_layout must be a bool, got 1"):
    dg.m_grouped_fp8_gemm_nt_contiguous(A, B, SIZES, use_psum_layout=1)
  a, b = bf16_operands(P["masked"], 9, 140)
  with pytest.raises(TypeError, match="zero_padding must be a bool, got None"):
    dg.m_grouped_bf16_gemm_nt_masked(a, b, SIZES, zero_padding=None)


def test_nn_names_the_layout_that_it_takes():
  for f in (
    dg.m_grouped_fp8_gemm_nn_contiguous,
    dg.m_grouped_bf16_gemm_nn_contiguous,
  ):
    with pytest.raises(ValueError, match=r"b must have shape \[g, k, n\]"):
      f(A_BF16, B_BF16[0], np.zeros(25, np.int32))


def test_the_cpu_has_no_kernel_to_insist_on():
  with dg.options(implementation="kernel"):
    for f, operands, name in (
      (dg.m_grouped_fp8_gemm_nt_ragged, (A, B), "m_grouped_fp8_gemm has"),
      (dg.m_grouped_fp8_gemm_nt_ragged, (A_BF16, B_BF16), "casts have"),
      (
        dg.m_grouped_bf16_gemm_nt_ragged,
        (A_BF16, B_BF16),
        "m_grouped_bf16_gemm has",
      ),
    ):
      with pytest.raises(
        NotImplementedError, match=f"{name} no kernel for cpu.*'auto'"
      ):
        f(*operands, SIZES)
