"""einsum against float64: expressions, values, errors, derivatives, batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as jd
from tests.einsum.einsum_oracle import (
  assert_is_einsum,
  bf16_operands,
  letters_of,
)

EXPRESSIONS = ("bmk,bnk->mn", "bhr,hdr->bhd", "bhd,hdr->bhr")
SIZES = {"b": 5, "m": 9, "n": 13, "k": 24, "h": 3, "d": 17, "r": 40}


def addend(expr, dtype, seed=3, sizes=SIZES):
  shape = [sizes[x] for x in letters_of(expr)[2]]
  values = np.random.default_rng(seed).standard_normal(shape) * 100
  return jnp.asarray(values, dtype)


@pytest.mark.parametrize("expr", EXPRESSIONS)
@pytest.mark.parametrize("out_dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("with_c", [False, True])
def test_the_result_is_the_einsum(expr, out_dtype, with_c):
  a, b = bf16_operands(expr, SIZES)
  c = addend(expr, out_dtype) if with_c else None
  d = jax.jit(lambda *x: jd.einsum(expr, *x, out_dtype=out_dtype))(a, b, c)
  assert d.dtype == out_dtype
  assert_is_einsum(d, expr, a, b, c)


@pytest.mark.parametrize(
  ("expr", "plain"),
  [
    (" b m k , b n k -> m n ", "bmk,bnk->mn"),
    ("ikj,kJj->ikJ", "bhr,hdr->bhd"),
    ("shd, hdr -> shr", "bhd,hdr->bhr"),
  ],
)
def test_letters_and_spaces_are_free(expr, plain):
  a, b = bf16_operands(plain, SIZES)
  np.testing.assert_array_equal(jd.einsum(expr, a, b), jd.einsum(plain, a, b))


@pytest.mark.parametrize(
  "expr",
  [
    "bmk,bnk->nm",  # A result in another order,
    "bmk,bnk->bmn",  # more of it,
    "bhr,hdr,->bhd",
    "bhr,hdr",
    "bbr,hdr->bhd",  # a letter twice,
    "hbr,hdr->bhd",  # operands in another order,
    "...hr,hdr->...hd",
    "",
  ],
)
def test_other_expressions_are_refused_with_a_list(expr):
  a, b = bf16_operands("bhr,hdr->bhd", SIZES)
  with pytest.raises(ValueError, match="one of 'bmk,bnk->mn', 'bhr,hdr->bhd'"):
    jd.einsum(expr, a, b)


@pytest.mark.parametrize(
  ("change", "error", "message"),
  [
    ({"expr": 3}, TypeError, "expr must be a string, got int"),
    ({"a": jnp.ones((4, 2, 8))}, TypeError, "a must be an array of bfloat16"),
    (
      {"b": jnp.ones((2, 8), "bfloat16")},
      ValueError,
      r"b must have shape \[h, d, r\], got \(2, 8\)",
    ),
    (
      {"b": jnp.ones((3, 6, 8), "bfloat16")},
      ValueError,
      r"a and b must have the same h, got 2 and 3 \(a of shape \(4, 2, 8\)",
    ),
    (
      {"c": jnp.ones((2, 4, 6))},
      ValueError,
      r"c must have shape \[b, h, d\] = \(4, 2, 6\), got \(2, 4, 6\)",
    ),
    ({"out_dtype": "float16"}, TypeError, "out_dtype must be bfloat16 or"),
  ],
)
def test_bad_arguments_are_named(change, error, message):
  arguments = {
    "expr": "bhr,hdr->bhd",
    "a": jnp.ones((4, 2, 8), "bfloat16"),
    "b": jnp.ones((2, 6, 8), "bfloat16"),
  } | change
  with pytest.raises(error, match=message):
    jd.einsum(**arguments)


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_empty_sizes_give_c_or_zero(expr):
  for letter in set(expr) & set("bhkr"):
    sizes = SIZES | {letter: 0}
    a, b = bf16_operands(expr, sizes)
    c = addend(expr, "float32", sizes=sizes)
    np.testing.assert_array_equal(jd.einsum(expr, a, b, c), c)
    assert not np.asarray(jd.einsum(expr, a, b), np.float32).any()


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_gradients_are_those_of_the_einsum(expr):
  a, b = (jnp.asarray(x) for x in bf16_operands(expr, SIZES))
  c = addend(expr, "float32")
  dy = addend(expr, "bfloat16", seed=4).astype(jnp.float32)

  def loss(einsum, dtype):
    def f(a, b, c):
      return (einsum(a.astype(dtype), b.astype(dtype), c) * dy).sum()

    return jax.jit(jax.grad(f, (0, 1, 2)))(a, b, c)

  found = loss(lambda a, b, c: jd.einsum(expr, a, b, c), jnp.bfloat16)
  exact = loss(lambda a, b, c: c + jnp.einsum(expr, a, b), jnp.float32)
  for x, y in zip(found, exact, strict=True):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    assert np.linalg.norm(x - y) <= 4e-3 * np.linalg.norm(y)


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_vmap_is_one_product_of_the_loops_values(expr):
  pairs = [bf16_operands(expr, SIZES, seed) for seed in range(3)]
  a, b = (jnp.stack(x) for x in zip(*pairs, strict=True))

  def f(a, b):
    return jd.einsum(expr, a, b, out_dtype=jnp.float32)

  for mapped, inputs in (
    (jax.vmap(f), (a, b)),
    (jax.vmap(f, (None, 0)), (a[0], b)),
    (jax.vmap(f, (0, None)), (a, b[0])),
  ):
    found = mapped(*inputs)
    for i in range(3):
      one = [x if x.ndim == 3 else x[i] for x in inputs]
      assert_is_einsum(found[i], expr, *one)
    assert str(jax.make_jaxpr(mapped)(*inputs)).count("bf16_gemm[") == 1


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
@pytest.mark.parametrize(
  ("expr", "axes"),
  [
    ("bhr,hdr->bhd", {"h": "x"}),
    ("bhd,hdr->bhr", {"b": "x", "h": "y"}),
    ("bmk,bnk->mn", {"b": "x", "m": "y"}),
    ("bmk,bnk->mn", {"k": "x"}),
    ("bmk,bnk->mn", {"b": "x", "k": "y"}),
  ],
)
def test_sharded_operands_have_the_same_result(expr, axes, axis_type):
  sizes = SIZES | {"b": 4, "h": 4, "m": 8}
  a, b = bf16_operands(expr, sizes)
  mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(axis_type,) * 2)
  place = [
    NamedSharding(mesh, P(*map(axes.get, letters)))
    for letters in letters_of(expr)[:2]
  ]
  with jax.set_mesh(mesh):
    operands = map(jax.device_put, (a, b), place)
    f = jax.jit(lambda *x: jd.einsum(expr, *x, out_dtype=jnp.float32))
    d = f(*operands)
  assert_is_einsum(d, expr, a, b)
