"""tf32_hc_prenorm_gemm against float64: values, splits, odd sizes, options."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.testing import calc_diff
from tests.hyperconnection.hc_oracle import joined, operands, partials


def arrays(m, n, k, **kwargs):
  return [jnp.asarray(x) for x in operands(m, n, k, **kwargs)]


def assert_close(found, a, b, count=1):
  exact = partials(a, b, count)
  size = partials(np.abs(a), np.abs(b), count)
  assert found.shape == exact.shape
  assert np.all(np.abs(found - exact) <= 1e-6 * size)


@pytest.mark.parametrize(
  ("m", "n", "k"), [(13, 24, 1000), (1, 1, 1), (3, 33, 65), (130, 8, 64)]
)
def test_one_result_is_the_whole_sum(m, n, k):
  a, b = arrays(m, n, k)
  d, sqr_sum = jax.jit(jd.tf32_hc_prenorm_gemm)(a, b)
  assert (d.shape, sqr_sum.shape) == ((m, n), (m,))
  assert (d.dtype, sqr_sum.dtype) == (jnp.float32, jnp.float32)
  assert_close(joined(d, sqr_sum)[None], a, b)
  exact = partials(a, b)[0]
  assert calc_diff(d, exact[:, :n]) < 1e-8
  assert calc_diff(sqr_sum, exact[:, n]) < 1e-8


@pytest.mark.parametrize(
  ("k", "splits"),
  [(64, 1), (1024, 16), (1000, 3), (100, 5)],  # The last: splits without K.
)
def test_partial_results_are_those_of_their_blocks(k, splits):
  a, b = arrays(7, 24, k)
  found = joined(*jd.tf32_hc_prenorm_gemm(a, b, num_splits=splits))
  assert found.shape == (splits, 7, 25)
  assert_close(found, a, b, splits)


def test_numpy_arrays_are_operands():
  a, b = operands(5, 8, 72)
  assert_close(joined(*jd.tf32_hc_prenorm_gemm(a, b))[None], a, b)


@pytest.mark.parametrize(("m", "n", "k"), [(0, 24, 64), (5, 0, 64), (5, 24, 0)])
@pytest.mark.parametrize("splits", [None, 2])
def test_sizes_of_zero_have_their_sums(m, n, k, splits):
  a, b = arrays(m, n, k)
  found = joined(*jd.tf32_hc_prenorm_gemm(a, b, num_splits=splits))
  found = found[None] if splits is None else found
  assert_close(found, a, b, splits or 1)


@pytest.mark.parametrize(
  ("change", "error", "message"),
  [
    (
      {"a": "float32"},
      TypeError,
      "a must be an array of bfloat16, got float32",
    ),
    ({"b": "bfloat16"}, TypeError, "b must be an array of float32, got bfl"),
    ({"a_shape": (2, 3, 64)}, ValueError, r"a must have shape \[m, k\], got"),
    ({"b_shape": (64,)}, ValueError, r"b must have shape \[n, k\], got"),
    ({"b_shape": (8, 65)}, ValueError, "the same k, got 64 and 65"),
    ({"num_splits": 0}, ValueError, "num_splits: expected an int >= 1, got 0"),
    ({"num_splits": 2.0}, ValueError, "num_splits: expected an int >= 1"),
  ],
)
def test_what_does_not_fit_is_refused(change, error, message):
  a = jnp.ones(change.get("a_shape", (3, 64)), change.get("a", "bfloat16"))
  b = jnp.ones(change.get("b_shape", (8, 64)), change.get("b", "float32"))
  with pytest.raises(error, match=message):
    jd.tf32_hc_prenorm_gemm(a, b, num_splits=change.get("num_splits"))


def test_a_kernel_is_asked_for_in_vain_without_a_gpu():
  with (
    jd.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match="tf32_hc_prenorm_gemm has no ker"),
  ):
    jd.tf32_hc_prenorm_gemm(*arrays(3, 8, 64))
