"""K-grouped GEMMs against float64, in each layout and for any sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.k_grouped_data import (
  assert_close,
  dequantised,
  flattened,
  product,
  quantised,
  with_gaps,
)

M, N = 7, 10
SIZES = {
  "all kinds": (130, 0, 1, 128, 129, 300),
  "one": (200,),
  "skewed": (1, 0, 900, 0, 2),
  "empty": (0, 0, 0),
  "multiples": (128, 256, 128),
  "many": (0, 3, 1) * 12,
}
by_sizes = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
with_and_without_c = pytest.mark.parametrize("with_c", [False, True])


def operands(sizes, spare=37):
  sum_k = sum(sizes) + spare
  return quantised(M, sizes, sum_k, 1), quantised(N, sizes, sum_k, 2)


def c_of(sizes, with_c):
  shape = (len(sizes), M, N)
  c = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
  return c * 1000 if with_c else None


def expected(a, b, sizes, c=None):
  a_groups = [x.T for x in dequantised(*a, sizes)]
  b_groups = [x.T for x in dequantised(*b, sizes)]
  return product(a_groups, b_groups, c)


def int32(sizes):
  return jnp.asarray(sizes, jnp.int32)


@by_sizes
@with_and_without_c
def test_tn_is_the_product_of_each_group(sizes, with_c):
  a, b = operands(sizes)
  c = c_of(sizes, with_c)
  d = dg.k_grouped_fp8_gemm_tn_contiguous(a, b, int32(sizes), c)
  assert_close(d, *expected(a, b, sizes, c))


@by_sizes
def test_nt_is_tn_of_the_transposes(sizes):
  a, b = operands(sizes)
  flip = [(values.T, scales.T) for values, scales in (a, b)]
  np.testing.assert_array_equal(
    dg.k_grouped_fp8_gemm_nt_contiguous(*flip, int32(sizes)),
    dg.k_grouped_fp8_gemm_tn_contiguous(a, b, int32(sizes)),
  )


@by_sizes
def test_nt_takes_the_groups_one_after_the_other(sizes):
  a, b = operands(sizes)
  flat = [(flattened(x, sizes), scales.T) for x, scales in (a, b)]
  np.testing.assert_array_equal(
    dg.k_grouped_fp8_gemm_nt_contiguous(*flat, int32(sizes)),
    dg.k_grouped_fp8_gemm_tn_contiguous(a, b, int32(sizes)),
  )


@by_sizes
def test_ends_stand_for_groups_at_multiples_of_128(sizes):
  a, b = operands(sizes, spare=0)
  (spread_a, ends, _), (spread_b, _, _) = (
    with_gaps(values, sizes) for values, _ in (a, b)
  )
  np.testing.assert_array_equal(
    dg.k_grouped_fp8_gemm_tn_contiguous(
      (spread_a, a[1]), (spread_b, b[1]), ends, use_psum_layout=True
    ),
    dg.k_grouped_fp8_gemm_tn_contiguous(a, b, int32(sizes)),
  )


@by_sizes
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_plain_arrays_are_quantised_group_by_group(sizes, dtype):
  random = np.random.default_rng(4)
  sum_k = sum(sizes) + 20
  plain = [random.standard_normal((sum_k, rows)) for rows in (M, N)]
  for x in plain:
    x[sum(sizes) :] = np.nan
  plain = [jnp.asarray(x, dtype) for x in plain]
  pairs = [cast_by_group(x, sizes) for x in plain]
  found = dg.k_grouped_fp8_gemm_tn_contiguous(*plain, int32(sizes))
  assert_close(found, *expected(*pairs, sizes))
  transposed = [x.T for x in plain]
  np.testing.assert_array_equal(
    dg.k_grouped_fp8_gemm_nt_contiguous(*transposed, int32(sizes)), found
  )


def cast_by_group(x, sizes):
  """Returns codes and scales of each group cast on its own, layout tn."""
  values, scales, start = [], [], 0
  for size in sizes:
    pair = dg.per_channel_cast_to_fp8(x[start : start + size])
    values.append(np.asarray(pair.values))
    scales.append(np.asarray(pair.scales))
    start += size
  return np.concatenate(values), np.concatenate(scales)


@by_sizes
@with_and_without_c
def test_bf16_is_the_product_of_each_group(sizes, with_c):
  random = np.random.default_rng(5)
  sum_k = sum(sizes) + 20
  arrays = [random.standard_normal((sum_k, rows)) for rows in (M, N)]
  for x in arrays:
    x[sum(sizes) :] = np.nan
  a, b = (jnp.asarray(x, jnp.bfloat16) for x in arrays)
  c = c_of(sizes, with_c)
  pairs = list(zip(np.cumsum(sizes), sizes, strict=True))
  groups = [
    [np.asarray(x[e - s : e], np.float64).T for e, s in pairs] for x in (a, b)
  ]
  found = dg.k_grouped_bf16_gemm_tn_contiguous(a, b, int32(sizes), c)
  assert_close(found, *product(*groups, c))
  np.testing.assert_array_equal(
    dg.k_grouped_bf16_gemm_nt_contiguous(a.T, b.T, int32(sizes), c), found
  )
  spread_a, spread_ends, _ = with_gaps(np.asarray(a)[: sum(sizes)], sizes)
  spread_b, _, _ = with_gaps(np.asarray(b)[: sum(sizes)], sizes)
  with_ends = dg.k_grouped_bf16_gemm_tn_contiguous(
    spread_a, spread_b, spread_ends, c, use_psum_layout=True
  )
  assert_close(with_ends, *product(*groups, c))


@pytest.mark.parametrize(
  ("claimed", "meant"),
  [
    ((100, 10**6, 50), (100, 200, 0)),
    ((-5, 300, 7), (0, 300, 0)),
    ((2**31 - 1, 2**31 - 1, 2**31 - 1), (300, 0, 0)),
  ],
)
def test_sizes_that_exceed_the_arrays_are_cut(claimed, meant):
  a, b = operands(meant, spare=0)
  np.testing.assert_array_equal(
    dg.k_grouped_fp8_gemm_tn_contiguous(a, b, int32(claimed)),
    dg.k_grouped_fp8_gemm_tn_contiguous(a, b, int32(meant)),
  )


def test_sizes_are_read_by_the_device():
  a, b = operands((200, 100, 0), spare=0)

  @jax.jit
  def multiply(routes):
    sizes = jnp.bincount(routes, length=3)
    return dg.k_grouped_fp8_gemm_tn_contiguous(a, b, sizes)

  routes = jnp.asarray([0] * 200 + [1] * 100)
  assert_close(multiply(routes), *expected(a, b, (200, 100, 0)))


@pytest.mark.parametrize(
  ("m", "n", "sum_k", "groups"),
  [(0, 3, 8, 2), (3, 0, 8, 2), (3, 3, 0, 2), (3, 3, 8, 0)],
)
def test_nothing_times_nothing_is_c_or_zeros(m, n, sum_k, groups):
  a = np.zeros((sum_k, m), jnp.bfloat16)
  b = np.zeros((sum_k, n), jnp.bfloat16)
  sizes = np.zeros(groups, np.int32)
  c = np.ones((groups, m, n), np.float32)
  for f in (
    dg.k_grouped_fp8_gemm_tn_contiguous,
    dg.k_grouped_bf16_gemm_tn_contiguous,
  ):
    np.testing.assert_array_equal(f(a, b, sizes), np.zeros_like(c))
    np.testing.assert_array_equal(f(a, b, sizes, c), c)
