"""fp8_fp4_paged_mqa_logits against the oracle, on the CPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.testing import calc_diff
from tests import paged_mqa_data, paged_mqa_fp4_data
from tests.mqa_fp4_data import NARROW, WIDE

_BITS = 20
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1


@functools.partial(jax.jit, static_argnames=("width", "clean", "dtype"))
def logits(arrays, indices=None, *, width, clean=True, dtype=jnp.float32):
  return dg.fp8_fp4_paged_mqa_logits(
    *arrays, None, width, clean, dtype, indices
  )


def found_of(given, **settings):
  return np.asarray(logits(given.arguments()[:5], given.indices, **settings))


@pytest.mark.parametrize(
  ("lens", "heads", "dim", "block_kv", "exponents", "settings"),
  [
    ([[40], [0], [65]], 8, 64, 32, NARROW, {"width": 128}),
    (
      [[40, 41], [0, 9]],
      64,
      128,
      64,
      WIDE,
      {"width": 70, "dtype": jnp.bfloat16},
    ),
    (
      [[_HIGHEST, 3], [_LOWEST, 9]],
      16,
      32,
      64,
      NARROW,
      {"width": 200, "clean": False},
    ),
  ],
)
def test_logits_are_those_of_the_formula(
  lens, heads, dim, block_kv, exponents, settings
):
  given = paged_mqa_fp4_data.operands(
    lens,
    heads,
    dim,
    block_kv,
    4,
    wild=True,
    q_exponents=exponents,
    key_exponents=exponents,
  )
  found = found_of(given, **settings)
  assert found.shape == (given.lens.size, settings["width"])
  assert found.dtype == settings.get("dtype", jnp.float32)
  fill = -np.inf if settings.get("clean", True) else 0.0
  assert paged_mqa_data.wrong(found, given, _BITS, fill).size == 0


def test_a_cache_is_what_the_cast_returns():
  key = jax.random.split(jax.random.key(0), 2)
  cast = functools.partial(
    dg.per_token_cast_to_fp4, use_ue8m0=True, gran_k=32, use_packed_ue8m0=True
  )
  q = jax.random.normal(key[0], (2, 1, 8, 64))
  kv = jax.random.normal(key[1], (64, 64))
  codes, scales = map(np.asarray, cast(kv))
  cache = paged_mqa_data.packed(
    codes.reshape(2, 32, -1), scales.reshape(2, 32, 1)
  )
  table = jnp.array([[1, 0], [0, 1]], jnp.int32)
  rows = (jnp.ones((2, 8)), jnp.full((2, 1), 64, jnp.int32), table)
  values, packed = cast(q)
  found = [
    np.asarray(logits(((values, x), cache, *rows), width=64))
    for x in (packed, packed[..., 0])
  ]
  assert found[0].tobytes() == found[1].tobytes()
  exact = jnp.einsum("bnhd,kd->bhk", q, kv, precision="highest")
  exact = jax.nn.relu(exact).sum(1)
  assert calc_diff(found[0][1], exact[1]) < 0.02
  assert calc_diff(found[0][0], jnp.roll(exact[0], 32)) < 0.02


def test_fp8_is_fp8_paged_mqa_logits():
  given = paged_mqa_data.operands([[40], [7]], 8, 32, 32, 2)
  q, *others = given.arguments(64, True)
  found = dg.fp8_fp4_paged_mqa_logits((q, None), *others[:-1])
  expected = dg.fp8_paged_mqa_logits(q, *others[:-1])
  np.testing.assert_array_equal(found, expected)


def test_there_may_be_nothing():
  given = paged_mqa_fp4_data.operands([[7], [9]], 8, 64, 32, 1)
  q, cache, *others = given.arguments(9, True)
  found = dg.fp8_fp4_paged_mqa_logits(q, cache[:0], *others[:-1])
  assert found.shape == (2, 9)
  assert np.all(np.asarray(found) == -np.inf)
