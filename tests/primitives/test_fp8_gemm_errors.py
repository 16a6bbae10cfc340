"""What fp8_gemm_* refuses, and what it says then."""

import re
import types

import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.primitives.gemm_oracle import codes, scaled

A = scaled(4, 256, (1, 128), 1)
B = scaled(130, 256, (128, 128), 5)
PLAIN = np.ones((4, 256), np.float32)


def f32(*shape):
  return np.ones(shape, np.float32)


CASES = {
  "rank of values": (
    {"a": (codes((1, 4, 256), 0), A.scales)},
    ValueError,
    "values of a must have shape [m, k], got (1, 4, 256)",
  ),
  "rank of a plain operand": (
    {"b": f32(256)},
    ValueError,
    "b must have shape [n, k], got (256,)",
  ),
  "dtype of values": (
    {"a": (PLAIN, A.scales)},
    TypeError,
    "values of a must be float8_e4m3fn, got float32 of shape (4, 256)",
  ),
  "another fp8 format": (
    {"a": (PLAIN.astype(jnp.float8_e5m2), A.scales)},
    TypeError,
    "values of a must be float8_e4m3fn, got float8_e5m2",
  ),
  "dtype of a plain operand": (
    {"a": PLAIN.astype(np.int32)},
    TypeError,
    "plain bfloat16 or float32 array, got int32 of shape (4, 256)",
  ),
  "codes without scales": (
    {"b": B.values},
    TypeError,
    "b of float8_e4m3fn needs its scales: pass (b, scales)",
  ),
  "no array": ({"a": "x"}, TypeError, "got str"),
  "none as an operand": ({"b": None}, TypeError, "got NoneType"),
  "values that are no array": (
    {"a": (3, A.scales)},
    TypeError,
    "values of a must be an array, got int",
  ),
  "three elements": (
    {"a": (A.values, A.scales, A.scales)},
    ValueError,
    "got 3 elements",
  ),
  "zero point": (
    {
      "a": types.SimpleNamespace(
        qvalue=A.values, scale=A.scales, zero_point=A.scales
      )
    },
    ValueError,
    "a must have no zero_point",
  ),
  "dtype of scales": (
    {"a": (A.values, A.scales.astype(np.float16))},
    TypeError,
    "scales of a must be float32, or int32 for packed UE8M0, got float16",
  ),
  "shape of scales": (
    {"b": (B.values, f32(130, 2))},
    ValueError,
    "float32 scales of b must have shape (2, 2) for values of shape (130, 256)"
    " and granularity (rows, k) = (128, 128), got (130, 2)",
  ),
  "transposed scales": (
    {"a": (A.values, A.scales.T)},
    ValueError,
    "must have shape (4, 2) for values of shape (4, 256)",
  ),
  "rank of scales": (
    {"a": (A.values, f32(8))},
    ValueError,
    "must have shape (4, 2)",
  ),
  "shape of packed scales": (
    {"a": (A.values, np.ones((4, 2), np.int32))},
    ValueError,
    "int32 packed scales of a must have shape (4, 1)",
  ),
  "k": (
    {"a": f32(4, 255)},
    ValueError,
    "a and b must have the same k, got 255 and 256",
  ),
  "shape of c": (
    {"c": f32(4, 129)},
    ValueError,
    "c must have shape [m, n] = (4, 130), got (4, 129)",
  ),
  "dtype of c": (
    {"c": f32(4, 130), "out_dtype": jnp.bfloat16},
    TypeError,
    "c must have out_dtype bfloat16, got float32",
  ),
  "unsupported dtype of c": (
    {"c": np.ones((4, 130), np.float16)},
    TypeError,
    "c must be bfloat16 or float32, got float16",
  ),
  "c that is no array": ({"c": 1.0}, TypeError, "c must be an array or None"),
  "out_dtype": (
    {"out_dtype": jnp.float16},
    TypeError,
    "out_dtype must be bfloat16 or float32, got float16",
  ),
  "unsupported recipe": (
    {"recipe": (1, 64, 128)},
    ValueError,
    "recipe must have a scale for each 1 x 128, 128 x 128, 1 x 32 elements"
    " (rows x k), got 64 x 128",
  ),
  "unsupported recipe of one side": (
    {"recipe_a": (1, 128), "recipe_b": (128, 32)},
    ValueError,
    "recipe_b must have",
  ),
  "recipe of wrong length": (
    {"recipe": (1, 128)},
    ValueError,
    "recipe must be 3 integers, got (1, 128)",
  ),
  "recipe of wrong type": (
    {"recipe": (1, 128, 128.0)},
    TypeError,
    "recipe must be 3 integers, got (1, 128, 128.0)",
  ),
  "one half of a recipe": (
    {"recipe_b": (1, 128)},
    ValueError,
    "recipe_a and recipe_b must be given together, got recipe_a=None",
  ),
  "both kinds of recipe": (
    {"recipe": (1, 1, 128), "recipe_a": (1, 128), "recipe_b": (1, 128)},
    ValueError,
    "recipe must not be given with recipe_a and recipe_b",
  ),
}


@pytest.mark.parametrize(
  ("changed", "error", "message"), CASES.values(), ids=CASES
)
def test_a_wrong_argument_is_named(changed, error, message):
  arguments = {"a": A, "b": B} | changed
  with pytest.raises(error, match=re.escape(message)):
    dg.fp8_gemm_nt(**arguments)


@pytest.mark.parametrize(
  ("gemm", "a", "b", "message"),
  [
    (dg.fp8_gemm_nn, A, B, "scales of b must have shape (2, 2)"),
    (dg.fp8_gemm_nn, A, f32(8), "b must have shape [k, n], got (8,)"),
    (dg.fp8_gemm_tn, f32(8), f32(4, 4), "a must have shape [k, m], got (8,)"),
    (dg.fp8_gemm_tn, f32(3, 8), f32(4, 8), "the same k, got 3 and 4"),
    (dg.fp8_gemm_tt, A, B, "scales of a must have shape (1, 256)"),
  ],
  ids=["nn", "nn rank", "tn rank", "tn k", "tt"],
)
def test_the_layout_of_the_function_is_expected(gemm, a, b, message):
  if gemm is dg.fp8_gemm_nn and b is B:
    message = "the same k"
  with pytest.raises(ValueError, match=re.escape(message)):
    gemm(a, b)
