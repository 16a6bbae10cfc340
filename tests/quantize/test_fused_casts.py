"""Casts of what is made on the way, against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm import fused_casts, quantize
from jax_deepgemm.options import Options
from tests import oracle
from tests.quantize.refusals import expect_refusal, f32, i32

M, N = 132, 136
RANDOM = np.random.default_rng(3)
H = oracle.matrix((M, 2 * N), 1) / 64
X = oracle.matrix((M, N), 2)
DY = oracle.matrix((M, N), 3)
# Of distinct magnitudes and signs, so that another row's shows.
ROW_WEIGHTS = np.resize([-8, 4, 0, 0.5, -0.125], M) * RANDOM.uniform(1, 2, M)
ROW_WEIGHTS = ROW_WEIGHTS.astype(np.float32)
WEIGHT = RANDOM.uniform(0.5, 2, N).astype(np.float32)


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def _swiglu(h):
  gate, up = np.split(h.astype(np.float64), 2, -1)
  return gate * _sigmoid(gate) * up


def _swiglu_gradient(h, dy):
  """Returns the derivative by central differences, no formula of ours."""
  h, dy = h.astype(np.float64), dy.astype(np.float64)
  gate, up = np.split(h, 2, -1)
  step = 1e-5

  def slope(plus, minus):
    difference = _swiglu(np.concatenate(plus, -1)) - _swiglu(
      np.concatenate(minus, -1)
    )
    return dy * difference / (2 * step)

  return np.concatenate(
    [
      slope((gate + step, up), (gate - step, up)),
      slope((gate, up + step), (gate, up - step)),
    ],
    -1,
  )


def _rms_norm(x, weight):
  x = x.astype(np.float64)
  rms = np.sqrt(np.mean(x * x, -1, keepdims=True) + 1e-6)
  return x / rms * weight


def _wide(pair):
  """Returns values * scales of a pair with scales per row and 128 columns."""
  values, scales = (np.asarray(x).astype(np.float64) for x in pair)
  return values * np.repeat(scales, 128, -1)[..., : values.shape[-1]]


def _check_rows(pair, exact, rounding):
  """Checks a quantised matrix against the exact one.

  Args:
    pair: of a cast per row and 128 columns.
    exact: the matrix in float64.
    rounding: relative error of the matrix before the cast.
  """
  n = exact.shape[-1]
  padded = np.pad(exact, [(0, 0)] * (exact.ndim - 1) + [(0, -n % 128)])
  blocks = np.abs(padded).reshape(*exact.shape[:-1], -1, 128)
  scales = np.maximum(blocks.max(-1), 1e-4) / 448
  np.testing.assert_allclose(pair.scales, scales, rtol=rounding + 1e-6)
  per_element = np.repeat(scales, 128, -1)[..., :n]
  # Half a step of e4m3 or of its denormals, and the rounding before.
  step = np.maximum(np.abs(exact) * 2**-4, per_element * 2**-10)
  error = np.abs(_wide(pair) - exact)
  assert np.all(error <= 1.01 * step + 2 * rounding * np.abs(exact))


def _weighted_swiglu(h, weights, clamp):
  gate, up = np.split(h.astype(np.float64), 2, -1)
  gate = np.where(gate > clamp, clamp, gate)
  up = np.where(np.abs(up) > clamp, np.sign(up) * clamp, up)
  return gate * _sigmoid(gate) * up * weights[:, None]


def _of_weights(clamp):
  """Returns the cast and what it quantises, of h and weights of its rows."""
  bound = np.inf if clamp is None else clamp

  def cast(h, weights, **options):
    return dg.swiglu_cast_to_fp8(h, weights=weights, clamp=clamp, **options)

  return cast, lambda h, w: _weighted_swiglu(h, w, bound), (H, ROW_WEIGHTS)


CASES = {
  "weighted": _of_weights(None),
  "weighted, clamped": _of_weights(0.75),
  "swiglu": (dg.swiglu_cast_to_fp8, _swiglu, (H,)),
  "gradient": (dg.swiglu_gradient_cast_to_fp8, _swiglu_gradient, (H, DY)),
  "rms_norm": (dg.rms_norm_cast_to_fp8, _rms_norm, (X, WEIGHT)),
}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("name", CASES)
def test_what_is_made_is_quantised_both_ways(name, dtype):
  function, exact, arrays = CASES[name]
  # Weights stay in float32.
  operands = [jnp.asarray(x, dtype if x.ndim == 2 else None) for x in arrays]
  expected = exact(*(np.asarray(x) for x in operands))
  rounding = 2**-8 if dtype == jnp.bfloat16 else 2**-16
  rows = function(*operands)
  _check_rows(rows, expected, rounding)
  both, columns = function(*operands, with_transpose=True)
  _check_rows(columns, expected.T, rounding)
  for alone, together in zip(rows, both, strict=True):
    np.testing.assert_array_equal(
      np.asarray(alone).astype(np.float32),
      np.asarray(together).astype(np.float32),
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_the_matrix_is_rounded_before_the_cast(dtype):
  """The codes are those of two steps, XLA does not skip the first rounding."""
  h = jnp.asarray(H, dtype)
  fused = jax.jit(dg.swiglu_cast_to_fp8)(h)
  gate, up = jnp.split(h.astype(jnp.float32), 2, -1)
  y = np.asarray(jax.nn.silu(gate) * up).astype(dtype)
  for a, b in zip(fused, dg.per_token_cast_to_fp8(jnp.asarray(y)), strict=True):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_a_clamp_alone_is_weights_of_one():
  clamped = dg.swiglu_cast_to_fp8(jnp.asarray(H), clamp=0.5)
  ones = jnp.ones(M)
  expected = dg.swiglu_cast_to_fp8(jnp.asarray(H), weights=ones, clamp=0.5)
  for a, b in zip(clamped, expected, strict=True):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("part", ["gate", "up"])
def test_a_clamp_does_not_hide_what_is_no_number(part):
  h = jnp.ones((2, 256)).at[0, 3 + 128 * (part == "up")].set(jnp.nan)
  _, scales = dg.swiglu_cast_to_fp8(h, clamp=0.5)
  np.testing.assert_array_equal(np.isnan(scales), [[True], [False]])


def _indices(rows, count):
  indices = RANDOM.integers(0, rows, count).astype(np.int32)
  indices[:4] = -1, rows, np.iinfo(np.int32).min, np.iinfo(np.int32).max
  return indices


@pytest.mark.parametrize("rows", [M, 0])
def test_rows_are_gathered_and_missing_ones_zero(rows):
  x, indices = X[:rows], _indices(max(rows, 1), 80)
  indices = np.where(rows, indices, -1 - indices).astype(np.int32)
  expected = np.zeros((80, N), np.float32)
  is_found = (indices >= 0) & (indices < rows)
  expected[is_found] = x[indices[is_found]]
  pairs = dg.gather_cast_to_fp8(
    jnp.asarray(x), jnp.asarray(indices), with_transpose=True
  )
  for pair, matrix in zip(pairs, (expected, expected.T), strict=True):
    codes, scales = oracle.cast_to_fp8(matrix, 1, 128)
    np.testing.assert_array_equal(pair.values.astype(jnp.float32), codes)
    np.testing.assert_array_equal(pair.scales, scales)


@pytest.mark.parametrize("sizes", [(60, 0, 40), (), (-5, 2**31 - 1)], ids=str)
def test_rows_and_groups_of_one_input(sizes):
  h = H.copy()
  live = min(sum(max(s, 0) for s in sizes), M)
  h[live:] = np.nan
  y = fused_casts.swiglu(jnp.asarray(h))
  sizes = jnp.array(sizes, jnp.int32)
  rows, groups = quantize.cast_rows_grouped(y, sizes, False, Options())
  expected = quantize.cast_grouped(y, sizes, False, Options())
  for a, b in zip(groups, expected, strict=True):
    np.testing.assert_array_equal(
      np.asarray(a).astype(np.float32), np.asarray(b).astype(np.float32)
    )
  live_rows = [x[:live] for x in rows]
  expected = dg.swiglu_cast_to_fp8(jnp.asarray(h[:live]))
  for a, b in zip(live_rows, expected, strict=True):
    np.testing.assert_array_equal(a, b)
  assert not np.any(_wide(rows)[live:])
  alone = quantize.cast_live_rows(y, sizes, False, Options())
  for a, b in zip(alone, rows, strict=True):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_blocks_are_written_both_ways():
  x = jnp.asarray(X)
  values, scales, transposed = quantize.cast_blocks_both(x, False, Options())
  codes, expected = oracle.cast_to_fp8(X, 128, 128)
  np.testing.assert_array_equal(values.astype(jnp.float32), codes)
  np.testing.assert_array_equal(scales, expected)
  np.testing.assert_array_equal(transposed.astype(jnp.float32), codes.T)


def test_wrong_operands_are_named():
  expect_refusal(
    ValueError,
    "h: expected an even last dimension (gate and up side by side), got shape"
    " (4, 7)",
    dg.swiglu_cast_to_fp8,
    f32(4, 7),
  )
  expect_refusal(
    ValueError,
    "h: expected rank >= 2, got shape (4,)",
    dg.swiglu_cast_to_fp8,
    f32(4),
  )
  expect_refusal(
    ValueError,
    "weights: expected shape (4,), got (4, 1)",
    lambda h, w: dg.swiglu_cast_to_fp8(h, weights=w),
    f32(4, 8),
    f32(4, 1),
  )
  expect_refusal(
    ValueError,
    "clamp: expected a number >= 0, got -1.0",
    lambda h: dg.swiglu_cast_to_fp8(h, clamp=-1.0),
    f32(4, 8),
  )
  expect_refusal(
    TypeError,
    "dy: expected an array of float32, got bfloat16",
    dg.swiglu_gradient_cast_to_fp8,
    f32(4, 8),
    f32(4, 4).astype(jnp.bfloat16),
  )
  expect_refusal(
    ValueError,
    "dy: expected shape (4, 4), got (4, 8)",
    dg.swiglu_gradient_cast_to_fp8,
    f32(4, 8),
    f32(4, 8),
  )
  expect_refusal(
    ValueError,
    "weight: expected shape (8,), got (4,)",
    dg.rms_norm_cast_to_fp8,
    f32(4, 8),
    f32(4),
  )
  expect_refusal(
    TypeError,
    "row_indices: expected an array of int32, got float32",
    dg.gather_cast_to_fp8,
    f32(4, 8),
    f32(4),
  )
  expect_refusal(
    ValueError,
    "x, row_indices: expected shapes (t, n) and (m,), got (2, 4, 8) and (2, 3)",
    dg.gather_cast_to_fp8,
    f32(2, 4, 8),
    i32(2, 3),
  )
