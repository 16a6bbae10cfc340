"""Rows on their way: what a cast to FP8 loses, and that nothing else is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import jax_deepgemm
from jax_deepgemm.expert_wire import Wire
from jax_deepgemm.options import current
from tests.expert_parallel import moe_layer, moe_oracle
from tests.expert_parallel.moe_layer import IDS, arrays, assert_close

FP8 = Wire(jnp.dtype(jnp.float8_e4m3fn), current())


def wide_rows(width, dtype=jnp.float32):
  """Returns rows whose blocks differ by powers of two, and special ones."""
  random = np.random.default_rng(width)
  rows = random.standard_normal((40, width)).astype(np.float32)
  blocks = np.arange(width) // 128
  rows *= np.exp2(random.integers(-60, 60, (40, 4)))[:, blocks]
  rows[1] = 0
  rows[2] = 1e-38
  # Rounds to 224 times a scale that was chosen for 225 times it.
  rows[3] = np.where(np.arange(width) % 128 == 5, 225.0, 3.0)
  rows[4, 0] = np.inf
  rows[5, width - 1] = np.nan
  return jnp.asarray(rows).astype(dtype)


@pytest.mark.parametrize("width", [1, 136])
def test_rows_arrive_as_the_oracle_rounds_them(width):
  rows = wide_rows(width)
  sent = FP8.encode(rows)
  assert sent.dtype == jnp.uint8
  assert sent.shape[1] % 16 == 0
  arrived = np.asarray(FP8.decode(sent, width)).astype(np.float64)
  finite = np.r_[:4, 6:40]
  expected = moe_oracle.through_fp8(np.asarray(rows)[finite])
  np.testing.assert_array_equal(arrived[finite], expected)
  # What is not finite is so in the whole block.
  assert not np.any(np.isfinite(arrived[4, :128]))
  assert not np.any(np.isfinite(arrived[5, (width - 1) // 128 * 128 :]))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_casting_again_gives_the_same_numbers_and_codes(dtype):
  rows = wide_rows(500, dtype)
  sent = FP8.encode(rows)
  came = FP8.decode_scaled(sent, 500)
  again = jax_deepgemm.per_token_cast_to_fp8(FP8.decode(sent, 500), True)
  for i in range(40):
    for block in range(4):
      part = slice(128 * block, 128 * block + 128)
      codes, second = (
        np.asarray(x.values[i, part]).astype(np.float64) for x in (came, again)
      )
      scales = came.scales[i, block], again.scales[i, block]
      if not np.all(np.isfinite(codes * scales[0])):
        assert not np.any(np.isfinite(second * scales[1]))
      elif np.max(np.abs(codes)) == 224 and scales[0] != scales[1]:
        np.testing.assert_array_equal(second, 2 * codes)
        assert scales[1] == scales[0] / 2
      else:
        np.testing.assert_array_equal(second, codes)
        assert scales[1] == scales[0]
  assert again.scales[3, 0] == came.scales[3, 0] / 2  # The case exists.


def test_other_dtypes_travel_as_they_are():
  rows = wide_rows(136)
  for dtype in (jnp.bfloat16, jnp.float32):
    wire = Wire(jnp.dtype(dtype), current())
    arrived = wire.decode(wire.encode(rows), 136)
    assert arrived.dtype == dtype
    np.testing.assert_array_equal(
      arrived.astype(jnp.float32), rows.astype(dtype).astype(jnp.float32)
    )


def test_a_layer_over_fp8_is_that_of_rounded_rows():
  x, w, weights, dy = arrays()
  ids = IDS["some dropped"]
  x = x.astype(jnp.bfloat16)
  f = moe_layer.with_gradients(
    moe_layer.layer(
      moe_layer.mesh(4),
      wire_dtype=jnp.float8_e4m3fn,
      gradient_wire_dtype=jnp.float8_e4m3fn,
    )
  )
  (y, *_), grads = f(x, jnp.asarray(ids, jnp.int32), w, weights, dy)
  rounded = moe_oracle.through_fp8(np.asarray(x).astype(np.float64))
  exact = [np.asarray(a, np.float64) for a in (w, weights, dy)]
  routing = moe_layer.routing("some dropped")
  assert_close(y, moe_oracle.layer(routing, rounded, *exact[:2]), 1e-5)
  expected = moe_oracle.gradients(routing, rounded, *exact)
  # Gradients of rows lose 4 bits as FP8, and then 8 as bfloat16.
  bounds = (2**-4 + 2**-8, 2**-4, 1e-5)
  for found, gradient, bound in zip(grads, expected, bounds, strict=True):
    assert_close(found, gradient, bound)


@pytest.mark.parametrize("wire_dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("out_dtype", [jnp.bfloat16, jnp.float32])
def test_results_have_the_dtypes_of_what_they_are_of(wire_dtype, out_dtype):
  x, w, weights, dy = arrays()
  x, weights = x.astype(jnp.bfloat16), weights.astype(jnp.bfloat16)
  ids = jnp.asarray(IDS["random"], jnp.uint8)
  f = moe_layer.layer(
    moe_layer.mesh(4), wire_dtype=wire_dtype, out_dtype=out_dtype
  )
  (y, *_), grads = moe_layer.with_gradients(f).eval_shape(
    x, ids, w, weights, dy
  )
  assert y.dtype == out_dtype
  assert [g.dtype for g in grads] == [x.dtype, w.dtype, weights.dtype]


def test_codes_and_scales_can_be_had_as_they_came():
  x, *_ = arrays()
  ids = jnp.asarray(IDS["random"], jnp.int32)

  def shard(x, ids):
    found = [
      jax_deepgemm.ep_dispatch(
        x,
        ids,
        num_experts=moe_layer.EXPERTS,
        axis_name="a",
        dequantize=dequantize,
      )
      for dequantize in (True, False)
    ]
    plain, pair = (dispatched.tokens for dispatched in found)
    spread = jnp.repeat(pair.scales, 128, axis=1)[:, : moe_layer.WIDTH]
    return plain, pair.values.astype(jnp.float32) * spread

  f = jax.shard_map(
    shard, mesh=moe_layer.mesh(4), in_specs=P("a"), out_specs=P("a")
  )
  plain, product = jax.jit(f)(x, ids)
  np.testing.assert_array_equal(plain.astype(jnp.float32), product)
  with pytest.raises(TypeError, match="x has no gradient with dequantize"):
    jax.jit(jax.grad(lambda x: f(x, ids)[1].sum())).trace(x)
