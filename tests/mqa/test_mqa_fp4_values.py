"""fp8_fp4_mqa_logits against the oracle, on the CPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.testing import calc_diff
from tests import mqa_data, mqa_fp4_data
from tests.mqa_fp4_data import NARROW, WIDE

_BITS = 20
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
RANGES = [(0, 20), (7, 31), (30, 30), (25, 3), (_LOWEST, _HIGHEST), (36, 99)]


@functools.partial(jax.jit, static_argnames=("clean", "width", "dtype"))
def logits(q, q_sf, keys, sf, *rows, clean=True, width=0, dtype=jnp.float32):
  pairs = (q, q_sf), (keys, sf)
  return dg.fp8_fp4_mqa_logits(*pairs, *rows, clean, width, dtype)


@pytest.mark.parametrize(
  ("heads", "dim", "exponents", "settings"),
  [
    (8, 64, NARROW, {}),
    (64, 128, WIDE, {"dtype": jnp.bfloat16}),
    (16, 32, NARROW, {"width": 24, "clean": False}),
  ],
)
def test_logits_are_those_of_the_formula(heads, dim, exponents, settings):
  arrays = mqa_fp4_data.operands(
    7, 37, heads, dim, RANGES, exponents, exponents
  )
  found = np.asarray(logits(*arrays, **settings))
  fill = -np.inf if settings.get("clean", True) else 0.0
  exact, magnitude = mqa_fp4_data.logits(
    *arrays, max_seqlen_k=settings.get("width", 0), fill=fill
  )
  assert found.shape == exact.shape
  assert found.dtype == settings.get("dtype", jnp.float32)
  assert mqa_data.wrong(found, exact, magnitude, _BITS).size == 0


def test_scales_come_packed_or_as_floats():
  key = jax.random.split(jax.random.key(0), 2)
  q = jax.random.normal(key[0], (3, 8, 64))
  kv = jax.random.normal(key[1], (37, 64))
  rows = (jnp.ones((3, 8)), jnp.zeros(3, jnp.int32), jnp.full(3, 37, jnp.int32))
  found = []
  for packed in (False, True):
    cast = functools.partial(
      dg.per_token_cast_to_fp4,
      use_ue8m0=True,
      gran_k=32,
      use_packed_ue8m0=packed,
    )
    found.append(np.asarray(dg.fp8_fp4_mqa_logits(cast(q), cast(kv), *rows)))
  values, scales = cast(q)
  found.append(
    np.asarray(dg.fp8_fp4_mqa_logits((values, scales[..., 0]), cast(kv), *rows))
  )
  assert len({x.tobytes() for x in found}) == 1
  exact = jnp.einsum("shd,kd->shk", q, kv, precision="highest")
  assert calc_diff(found[0], jax.nn.relu(exact).sum(1)) < 0.02


def test_fp8_is_fp8_mqa_logits():
  q, keys, scales, *rows = mqa_data.operands(3, 37, 8, 32, [(0, 20), (9, 30)])
  found = dg.fp8_fp4_mqa_logits((q, None), (keys, scales), *rows)
  expected = dg.fp8_mqa_logits(q, (keys, scales), *rows)
  np.testing.assert_array_equal(found, expected)


def test_a_scale_without_a_number_reaches_the_rows_that_see_it():
  arrays = mqa_fp4_data.operands(2, 37, 8, 64, [(0, 20), (10, 37)])
  arrays[3].view(np.uint8).reshape(-1, 4)[5, 1] = 255
  found = np.asarray(logits(*arrays))
  assert np.argwhere(np.isnan(found)).tolist() == [[0, 5]]


@pytest.mark.parametrize(("rows", "keys"), [(0, 37), (3, 0)])
def test_there_may_be_nothing(rows, keys):
  found = logits(*mqa_fp4_data.operands(rows, keys, 8, 64, [(0, 20)]), width=5)
  assert found.shape == (rows, 5)
  assert np.all(np.asarray(found) == -np.inf)


def test_weights_have_no_gradient():
  arrays = mqa_fp4_data.operands(3, 37, 8, 64, [(0, 20)])
  q, q_scales, keys, scales, weights, *ranges = arrays

  def loss(weights):
    pairs = (q, q_scales), (keys, scales)
    return dg.fp8_fp4_mqa_logits(*pairs, weights, *ranges, False).sum()

  with pytest.raises(NotImplementedError, match="has no gradients; decode q"):
    jax.grad(loss)(weights)
