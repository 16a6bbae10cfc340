"""What fp8_dot_general and fp8_ragged_dot refuse, and what they say."""

import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg

FLAX = (((1,), (0,)), ((), ()))
X, W = np.ones((4, 8), np.float32), np.ones((8, 6), np.float32)
EXPERTS, SIZES = np.ones((2, 8, 6), np.float32), np.array([1, 2])


@pytest.mark.parametrize(
  ("lhs", "rhs", "dimension_numbers", "settings", "error", "message"),
  [
    (X.astype(int), W, FLAX, {}, TypeError, "lhs must be an array of .*int64"),
    (X, [1.0], FLAX, {}, TypeError, "rhs must be an array of .*got list"),
    (X, W, ((1,), (0,)), {}, TypeError, "dimension_numbers must be"),
    (
      X,
      W,
      (((1.5,), (0,)), ((), ())),
      {},
      TypeError,
      "dimension_numbers must be",
    ),
    (X, W, (((2,), (0,)), ((), ())), {}, ValueError, r"of lhs.*\(2,\)"),
    (X, W, (((-1,), (0,)), ((), ())), {}, ValueError, r"of lhs.*\(-1,\)"),
    (X, W, (((1,), (0,)), ((1,), (1,))), {}, ValueError, "distinct .* of lhs"),
    (X, W, (((0,), (0,)), ((), ())), {}, ValueError, r"\(4,\) and \(8,\)"),
    (X, W, (((1,), ()), ((), ())), {}, ValueError, "contracting .* same sizes"),
    (
      *(X, W, FLAX, {"preferred_element_type": jnp.int32}, TypeError),
      "preferred_element_type must be one of .* got int32",
    ),
    (X, W, FLAX, {"residuals": "mixed"}, ValueError, "one of fp8, bf16, got"),
    (X, W, FLAX, {"main_grad": X}, ValueError, r"shape of rhs, \(8, 6\)"),
    (
      *(X, W, FLAX, {"main_grad": W.astype(np.float16)}, TypeError),
      "main_grad must be a float32 array or None, got float16",
    ),
  ],
)
def test_a_dot_says_what_is_wrong(
  lhs, rhs, dimension_numbers, settings, error, message
):
  with pytest.raises(error, match=message):
    dg.fp8_dot_general(lhs, rhs, dimension_numbers, **settings)


@pytest.mark.parametrize(
  ("lhs", "rhs", "sizes", "settings", "error", "message"),
  [
    (X, W, SIZES, {}, ValueError, r"\[m, k\] and \[g, k, n\]"),
    (X[:, :5], EXPERTS, SIZES, {}, ValueError, r"\(4, 5\) and \(2, 8, 6\)"),
    (X, EXPERTS, [1, 2], {}, TypeError, "array of integers, got list"),
    (X, EXPERTS, X[0], {}, TypeError, "array of integers, got float32"),
    (X, EXPERTS, SIZES[:1], {}, ValueError, r"shape \[g\] = \(2,\)"),
    (
      *(X, EXPERTS, SIZES, {"group_offset": SIZES[:1]}, NotImplementedError),
      "group_offset must be None: give rhs and group_sizes of the groups",
    ),
    (X, EXPERTS, SIZES, {"residuals": 8}, ValueError, "one of fp8, bf16"),
    (X, EXPERTS, SIZES, {"main_grad": W}, ValueError, "the shape of rhs"),
  ],
)
def test_a_ragged_dot_says_what_is_wrong(
  lhs, rhs, sizes, settings, error, message
):
  with pytest.raises(error, match=message):
    dg.fp8_ragged_dot(lhs, rhs, sizes, **settings)
