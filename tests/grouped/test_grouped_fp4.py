"""m-grouped GEMMs of fp8 with FP4 on the CPU against a float64 oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.testing import calc_diff
from tests.grouped.grouped_oracle import multiply, operands, problem, rows_of
from tests.primitives.cuda_lowering import lowered_for_cuda
from tests.primitives.fp4_oracle import dequantized_fp4, fp4, transposed_fp4
from tests.primitives.gemm_oracle import assert_is_product, dequantized

FP4 = {
  "index": dg.m_grouped_fp8_fp4_gemm_nt_contiguous,
  "psum": dg.m_grouped_fp8_fp4_gemm_nt_contiguous,
  "masked": dg.m_grouped_fp8_fp4_gemm_nt_masked,
}
by_layout = pytest.mark.parametrize("layout", FP4)
SIZES = [5, 0, 17, 1]


def stacked(groups):
  return dg.ScaledArray(*(np.stack(x) for x in zip(*groups, strict=True)))


def weights(p, n, k):
  """Returns FP4 of each group."""
  return [fp4(n, k, 20 + g, -3, 3) for g in range(p.num_groups)]


def assert_is_grouped_product(d, a, groups, p, k):
  found, plain = rows_of(d), dequantized(rows_of(a), (1, 128))
  for g, b in enumerate(groups):
    rows = p.groups == g
    assert_is_product(found[rows], plain[rows], dequantized_fp4(b, k))
  np.testing.assert_array_equal(found[p.groups < 0].astype(np.float32), 0)


@by_layout
@pytest.mark.parametrize(
  ("sizes", "n", "k"),
  [
    (SIZES, 37, 300),
    (SIZES, 3, 7),
    ([33], 64, 256),
    ([0, 0, 3, 0], 5, 130),
    ([300, 0, 129], 37, 256),
  ],
)
def test_each_row_is_multiplied_with_the_b_of_its_group(layout, sizes, n, k):
  p = problem(layout, sizes, spare=6)
  a, _ = operands(p, n, k)
  groups = weights(p, n, k)
  d = multiply(FP4, p, a, stacked(groups), out_dtype=jnp.float32)
  assert_is_grouped_product(d, a, groups, p, k)
  d = multiply(FP4, p, a, stacked(groups))
  assert d.dtype == jnp.bfloat16
  assert_is_grouped_product(d, a, groups, p, k)


def test_weights_may_come_transposed():
  p = problem("index", SIZES)
  a, _ = operands(p, 38, 300)
  groups = weights(p, 38, 300)
  flipped = stacked([transposed_fp4(b, 300) for b in groups])
  with dg.options(mk_alignment=p.alignment):
    d = dg.m_grouped_fp8_fp4_gemm_nn_contiguous(
      a, flipped, p.numbers, out_dtype=jnp.float32
    )
  assert_is_grouped_product(d, a, groups, p, 300)


@by_layout
def test_float32_scales_are_multiplied_exactly_too(layout):
  p = problem(layout, SIZES)
  a, _ = operands(p, 37, 256)
  groups = weights(p, 37, 256)
  b = stacked(groups)
  b = (b.values, dg.unpack_ue8m0_from_int(b.scales))
  d = multiply(FP4, p, a, b, out_dtype=jnp.float32)
  assert_is_grouped_product(d, a, groups, p, 256)


@by_layout
def test_without_fp4_it_is_the_fp8_product(layout):
  p = problem(layout, SIZES)
  a, b = operands(p, 130, 256)
  fp8 = {
    "index": dg.m_grouped_fp8_gemm_nt_contiguous,
    "psum": dg.m_grouped_fp8_gemm_nt_contiguous,
    "masked": dg.m_grouped_fp8_gemm_nt_masked,
  }
  np.testing.assert_array_equal(multiply(FP4, p, a, b), multiply(fp8, p, a, b))


@by_layout
@pytest.mark.parametrize("k", [256, 301])
def test_gradients_flow_to_a_plain_a(layout, k):
  p = problem(layout, SIZES, spare=3)
  groups = weights(p, 64, k)
  rng = np.random.default_rng(0)
  a = jnp.asarray(rng.normal(size=(*p.leading, k)), jnp.float32)
  dy = rng.normal(size=(*p.leading, 64)).astype(np.float32)

  def loss(a):
    d = multiply(FP4, p, a, stacked(groups), out_dtype=jnp.float32)
    return (d * dy).sum()

  da = np.asarray(rows_of(np.asarray(jax.jit(jax.grad(loss))(a))), np.float64)
  exact = np.zeros((len(p.groups), k))
  for g, b in enumerate(groups):
    rows = p.groups == g
    exact[rows] = rows_of(dy).astype(np.float64)[rows] @ dequantized_fp4(b, k)
  assert calc_diff(da, exact) < 2e-3
  np.testing.assert_array_equal(da[p.groups < 0], 0)


def test_a_quantised_a_has_no_silent_gradient():
  p = problem("index", SIZES)
  b = stacked(weights(p, 64, 256))

  def loss(a):
    pair = dg.per_token_cast_to_fp8(a)
    return multiply(FP4, p, pair, b).astype(jnp.float32).sum()

  with pytest.raises(TypeError, match="a is quantised and has no gradient"):
    jax.grad(loss)(jnp.ones((*p.leading, 256)))


@by_layout
@pytest.mark.parametrize("batched_b", [False, True])
def test_a_vmap_is_the_loop(layout, batched_b):
  p = problem(layout, SIZES, spare=3)
  a = jax.tree.map(lambda x: jnp.stack([x] * 2), operands(p, 37, 256)[0])
  b = jax.tree.map(jnp.asarray, stacked(weights(p, 37, 256)))
  expected = multiply(FP4, p, jax.tree.map(lambda x: x[0], a), b)
  if batched_b:
    b = jax.tree.map(lambda x: jnp.stack([x] * 2), b)
  f = jax.vmap(
    lambda a, b: multiply(FP4, p, a, b), (0, 0 if batched_b else None)
  )
  for found in f(a, b):
    np.testing.assert_array_equal(found, expected)


def test_wrong_operands_are_named():
  p = problem("index", SIZES)
  a, _ = operands(p, 37, 256)
  b = stacked(weights(p, 37, 256))
  with pytest.raises(
    ValueError, match=r"values of b must have shape \[g, n, k"
  ):
    multiply(FP4, p, a, (b.values[0], b.scales))
  with pytest.raises(ValueError, match="int32 packed scales of b must have"):
    multiply(FP4, p, a, (b.values, b.scales[:, :, :1]))
  with pytest.raises(ValueError, match="the same k, got 256 and 128"):
    multiply(FP4, p, a, (b.values[..., :64], b.scales[..., :1]))


def test_an_empty_size_gives_zeros():
  p = problem("index", SIZES)
  a, _ = operands(p, 37, 0)
  d = multiply(FP4, p, a, stacked(weights(p, 37, 0)))
  np.testing.assert_array_equal(d.astype(np.float32), np.zeros((p.rows, 37)))


def test_the_reference_can_be_lowered_for_a_gpu():
  p = problem("index", SIZES)
  a, _ = operands(p, 37, 256)
  b = stacked(weights(p, 37, 256))
  with dg.options(implementation="reference"):
    text = lowered_for_cuda(lambda a, b: multiply(FP4, p, a, b), a, b)
  assert "jax_deepgemm_launch" not in text
