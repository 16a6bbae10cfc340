"""bf16_gemm_* against float64: values, errors, derivatives, batches."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from tests.gpu.bf16_data import magnitude, operands, product

LAYOUTS = ("nt", "nn", "tn", "tt")
SHAPES = [(1, 1, 1), (5, 3, 7), (64, 128, 256), (3, 200, 65)]
BFLOAT16 = jnp.dtype("bfloat16")


def bf16(layout):
  return getattr(jd, f"bf16_gemm_{layout}")


def cublaslt(layout):
  return getattr(jd, f"cublaslt_gemm_{layout}")


def addend(m, n, dtype, seed=3):
  values = np.random.default_rng(seed).standard_normal((m, n)) * 100
  return jnp.asarray(values, dtype)


def assert_is_product(d, a, b, c=None, layout="nt"):
  """Checks each element to the error of a float32 sum, rounded once."""
  exact = product(a, b, c, layout=layout)
  rounding = 0.0 if d.dtype == np.float32 else 2.0**-8
  allowed = magnitude(a, b, c, layout=layout) * 2.0**-20
  allowed += np.abs(exact) * rounding
  assert d.shape == exact.shape
  assert np.all(np.abs(np.asarray(d).astype(np.float64) - exact) <= allowed)


@pytest.mark.parametrize("gemm", [bf16, cublaslt])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("out_dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("with_c", [False, True])
def test_the_result_is_the_product(gemm, layout, shape, out_dtype, with_c):
  m, n, k = shape
  a, b = operands(m, n, k, layout=layout)
  c = addend(m, n, out_dtype) if with_c else None
  d = jax.jit(lambda *x: gemm(layout)(*x, out_dtype=out_dtype))(a, b, c)
  assert d.dtype == out_dtype
  assert_is_product(d, a, b, c, layout)


@pytest.mark.parametrize("gemm", [bf16, cublaslt])
def test_c_decides_the_dtype_and_bfloat16_is_the_default(gemm):
  a, b = operands(4, 8, 16)
  assert gemm("nt")(a, b).dtype == BFLOAT16
  assert gemm("nt")(a, b, addend(4, 8, "float32")).dtype == np.float32


@pytest.mark.parametrize("gemm", [bf16, cublaslt])
def test_c_is_added_before_the_only_rounding(gemm):
  # 256 + 1 + 1 is 258 in bfloat16; rounded after each addition it is 256.
  a = b = jnp.ones((1, 1), BFLOAT16)
  a = jnp.pad(a, ((0, 0), (0, 1)))
  c = jnp.full((1, 1), 256, BFLOAT16)
  b = jnp.full((1, 2), 1.5, BFLOAT16)
  assert float(gemm("nt")(a, b, c)[0, 0]) == 258


@pytest.mark.parametrize("gemm", [bf16, cublaslt])
@pytest.mark.parametrize("shape", [(0, 4, 8), (4, 0, 8), (4, 8, 0)], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_empty_products_are_c_or_zero(gemm, shape, layout):
  m, n, k = shape
  a, b = operands(m, n, k, layout=layout)
  np.testing.assert_array_equal(
    np.asarray(gemm(layout)(a, b)).astype(np.float32), np.zeros((m, n))
  )
  c = addend(m, n, "float32")
  np.testing.assert_array_equal(gemm(layout)(a, b, c), c)


def test_e4m3_operands_of_the_comparison():
  a, b = (x.astype(jnp.float8_e4m3fn) for x in operands(8, 24, 64))
  d = jd.cublaslt_gemm_nt(a, b, out_dtype=jnp.float32)
  assert_is_product(d, a, b)


def test_no_operand_is_transposed():
  for layout in LAYOUTS:
    a, b = operands(16, 32, 64, layout=layout)
    text = str(jax.make_jaxpr(bf16(layout))(a, b))
    assert "transpose" not in text
    assert text.count("bf16_gemm[") == 1


@pytest.mark.parametrize("gemm", [bf16, cublaslt])
@pytest.mark.parametrize(
  ("change", "error", "message"),
  [
    (
      {"a": jnp.ones((4, 8))},
      TypeError,
      "a must be an array of bfloat16.*got float32 of",
    ),
    ({"a": [1]}, TypeError, "a must be an array of bfloat16.*got list"),
    ({"b": jnp.ones(8, BFLOAT16)}, ValueError, r"b must have shape \[n, k\]"),
    ({"b": jnp.ones((6, 9), BFLOAT16)}, ValueError, "same k, got 8 and 9"),
    ({"c": 1.0}, TypeError, "c must be"),
    ({"c": jnp.ones((4, 7))}, ValueError, r"c must have shape \[m, n\]"),
    ({"out_dtype": "float16"}, TypeError, "out_dtype must be bfloat16 or"),
    (
      {"c": jnp.ones((4, 6)), "out_dtype": "bfloat16"},
      TypeError,
      "c must have out_dtype bfloat16, got float32",
    ),
  ],
)
def test_bad_arguments_are_named(gemm, change, error, message):
  arguments = {
    "a": jnp.ones((4, 8), BFLOAT16),
    "b": jnp.ones((6, 8), BFLOAT16),
  } | change
  with pytest.raises(error, match=message):
    gemm("nt")(**arguments)


def test_operands_of_the_comparison_are_of_one_dtype():
  a = jnp.ones((4, 8), BFLOAT16)
  with pytest.raises(TypeError, match="same dtype, got bfloat16 and float8"):
    jd.cublaslt_gemm_nt(a, a.astype(jnp.float8_e4m3fn))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("out_dtype", ["bfloat16", "float32"])
def test_gradients_are_those_of_the_product(layout, out_dtype):
  m, n, k = 24, 40, 56
  a, b = operands(m, n, k, layout=layout)
  c = addend(m, n, out_dtype)
  dy = addend(m, n, BFLOAT16, seed=4)

  def f(a, b, c):
    return (bf16(layout)(a, b, c) * dy.astype(out_dtype)).sum()

  da, db, dc = jax.jit(jax.grad(f, (0, 1, 2)))(a, b, c)
  left = np.asarray(a, np.float64).T if layout[0] == "t" else a
  right = np.asarray(b, np.float64) if layout[1] == "n" else b.T
  exact_a = np.asarray(dy, np.float64) @ np.asarray(right, np.float64).T
  exact_b = np.asarray(left, np.float64).T @ np.asarray(dy, np.float64)
  exact_a = exact_a.T if layout[0] == "t" else exact_a
  exact_b = exact_b if layout[1] == "n" else exact_b.T
  assert da.dtype == db.dtype == BFLOAT16
  for found, exact in ((da, exact_a), (db, exact_b)):
    error = np.abs(np.asarray(found, np.float64) - exact)
    assert np.all(error <= 2.0**-8 * np.abs(exact) + 1e-5 * np.abs(exact).max())
  np.testing.assert_array_equal(dc, dy.astype(out_dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_transpose_nothing(layout):
  a, b = operands(24, 40, 56, layout=layout)
  f = jax.grad(
    lambda a, b: bf16(layout)(a, b).astype(jnp.float32).sum(), (0, 1)
  )
  text = str(jax.make_jaxpr(f)(a, b))
  assert text.count("bf16_gemm[") == 3
  assert "transpose[" not in text


def test_derivatives_exist_in_every_direction_and_order():
  a, b = operands(8, 16, 24)
  c = addend(8, 16, "float32")

  def f(a, b, c):
    return (jd.bf16_gemm_nt(a, b, c) ** 2).sum()

  _, tangent = jax.jvp(f, (a, b, c), (a, b, c))
  gradient = jax.grad(f, (0, 1, 2))(a, b, c)
  along = sum(
    np.vdot(np.asarray(x, np.float64), np.asarray(g, np.float64))
    for x, g in zip((a, b, c), gradient, strict=True)
  )
  assert abs(float(tangent) - along) <= 0.02 * abs(along)
  second = jax.grad(lambda a: jax.grad(f, 1)(a, b, c).astype(float).sum())(a)
  assert np.isfinite(np.asarray(second, np.float32)).all()


def loop(layout, arrays, batched, size):
  return np.stack(
    [
      bf16(layout)(
        *(x[i] if b else x[0] for x, b in zip(arrays, batched, strict=True))
      )
      for i in range(size)
    ]
  )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
  "batched",
  [b for b in itertools.product([False, True], repeat=3) if any(b)],
  ids=lambda b: "".join("x" if x else "-" for x in b),
)
def test_any_subset_of_operands_can_be_batched(layout, batched):
  a, b = operands(6, 10, 20, layout=layout, groups=3)
  c = np.stack([addend(6, 10, "float32", seed=i) for i in range(3)])
  arrays = [jnp.asarray(x) for x in (a, b, c)]
  inputs = [x if b else x[0] for x, b in zip(arrays, batched, strict=True)]
  mapped = jax.vmap(bf16(layout), [0 if b else None for b in batched])
  np.testing.assert_allclose(
    mapped(*inputs), loop(layout, arrays, batched, 3), rtol=2e-6, atol=1e-4
  )
  text = str(jax.make_jaxpr(mapped)(*inputs))
  assert text.count("bf16_gemm[") == 1


def test_gradients_of_a_batch_are_those_of_its_elements():
  a, b = operands(6, 10, 20, groups=3)

  def f(a, b):
    return jd.bf16_gemm_nt(a, b, out_dtype=jnp.float32).sum()

  found = jax.vmap(jax.grad(f, (0, 1)))(a, b)
  for i in range(3):
    one = jax.grad(f, (0, 1))(a[i], b[i])
    for x, y in zip(found, one, strict=True):
      np.testing.assert_array_equal(x[i], y)
