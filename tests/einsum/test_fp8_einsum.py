"""fp8_einsum against float64: values, scales, errors, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.testing import calc_diff
from tests.einsum.einsum_oracle import (
  assert_is_einsum,
  dequantized,
  letters_of,
  scaled_operands,
)

# Granularities of a and b, and the recipe that says them.
CASES = {
  "bhr,hdr->bhd": (({"r": 128}, {"d": 128, "r": 128}), None),
  "bhd,hdr->bhr": (({"d": 128}, {"d": 128, "r": 128}), None),
  "bhd,bhr->hdr": (({"b": 128}, {"b": 128}), (1, 1, 128)),
}
# Blocks that end early along each dimension.
SIZES = {"b": 140, "h": 3, "d": 150, "r": 270}


def arrays_of(expr, seed=0):
  grans, recipe = CASES[expr]
  a, b = scaled_operands(expr, SIZES, grans, seed)
  shape = [SIZES[x] for x in letters_of(expr)[2]]
  c = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
  return a, b, c * 1000, recipe


@pytest.mark.parametrize("expr", CASES)
def test_the_result_is_that_of_the_dequantised_operands(expr):
  a, b, c, recipe = arrays_of(expr)

  @jax.jit
  def f(a, b, c):
    plain = jd.fp8_einsum(expr, a, b, recipe=recipe)
    return plain, jd.fp8_einsum(expr, a, b, c, recipe=recipe)

  plain, added = f(a, b, c)
  assert plain.dtype == jnp.bfloat16
  assert added.dtype == jnp.float32
  exact = dequantized(a), dequantized(b)
  assert_is_einsum(plain, expr, *exact)
  assert_is_einsum(added, expr, *exact, c)


def test_packed_scales_are_exponents_along_the_sum():
  expr = "bhd,bhr->hdr"
  a, b, _, recipe = arrays_of(expr)

  def pack(scales):
    of_rows = jnp.pad(jnp.moveaxis(scales, 0, -1), ((0, 0), (0, 0), (0, 2)))
    return jnp.moveaxis(jd.pack_ue8m0_to_int(of_rows), -1, 0)

  packed = [(values, pack(scales)) for values, scales in (a, b)]
  np.testing.assert_array_equal(
    jd.fp8_einsum(expr, *packed, recipe=recipe),
    jd.fp8_einsum(expr, a, b, recipe=recipe),
  )


@pytest.mark.parametrize("expr", CASES)
def test_gradients_flow_to_plain_operands(expr):
  _, recipe = CASES[expr]
  random = np.random.default_rng(0)
  shapes = [[SIZES[x] for x in letters] for letters in letters_of(expr)]
  a, b, dy = (
    jnp.asarray(random.standard_normal(shape), jnp.bfloat16) for shape in shapes
  )

  def gradients(einsum):
    def loss(a, b):
      return (einsum(a, b) * dy.astype(jnp.float32)).sum()

    return jax.jit(jax.grad(loss, (0, 1)))(a, b)

  found = gradients(
    lambda a, b: jd.fp8_einsum(expr, a, b, out_dtype=jnp.float32, recipe=recipe)
  )
  exact = gradients(
    lambda a, b: jnp.einsum(expr, *(x.astype(jnp.float32) for x in (a, b)))
  )
  for x, y in zip(found, exact, strict=True):
    assert calc_diff(x, y) < 2e-3


def test_quantised_operands_have_no_gradient():
  a, b, _, _ = arrays_of("bhr,hdr->bhd")

  def loss(scales):
    d = jd.fp8_einsum("bhr,hdr->bhd", (a[0], scales), b)
    return d.astype(jnp.float32).sum()

  with pytest.raises(TypeError, match="a is quantised and has no gradient"):
    jax.grad(loss)(a[1])


@pytest.mark.parametrize(
  ("change", "error", "message"),
  [
    ({"expr": "bmk,bnk->mn"}, ValueError, "one of 'bhr,hdr->bhd', 'bhd,hdr->"),
    (
      {"a": jnp.ones((4, 2, 128), jnp.float8_e4m3fn)},
      TypeError,
      "float8_e4m3fn needs its scales",
    ),
    ({"a": jnp.ones((4, 128))}, ValueError, r"a must have shape \[b, h, r\]"),
    (
      {"a": (jnp.ones((4, 2, 128), jnp.float8_e4m3fn), jnp.ones((4, 1)))},
      ValueError,
      r"scales of a must have shape \(4, 2, 1\).*got \(4, 1\)",
    ),
    ({"recipe": (1, 1, 128)}, ValueError, r"scales of b .*\(2, 256, 1\) for"),
    ({"recipe": (1, 7, 128)}, ValueError, "recipe must have a scale for each"),
    ({"c": jnp.ones((2, 4, 256))}, ValueError, r"c must have .* \[b, h, d\]"),
  ],
)
def test_bad_arguments_are_named(change, error, message):
  arguments = {
    "expr": "bhr,hdr->bhd",
    "a": (jnp.ones((4, 2, 128), jnp.float8_e4m3fn), jnp.ones((4, 2, 1))),
    "b": (jnp.ones((2, 256, 128), jnp.float8_e4m3fn), jnp.ones((2, 2, 1))),
  } | change
  with pytest.raises(error, match=message):
    jd.fp8_einsum(**arguments)
