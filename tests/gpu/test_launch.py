"""The launcher on a real driver: graphs, devices, accuracy of the cores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm import ffi
from tests.gpu.gemm_data import product, row_error, scaled_operands

pytestmark = pytest.mark.gpu


def _chain(b, sfb, length):
  def function(x):
    for _ in range(length):
      y = jd.fp8_gemm_nt(x, (b, sfb))
      x = y / jnp.maximum(jnp.max(jnp.abs(y)), 1)
    return x

  return function


def test_calls_are_captured_into_graphs_and_replayed():
  _, (b, sfb) = scaled_operands(1, 512, 512)
  x = jax.random.normal(jax.random.key(0), (256, 512), jnp.bfloat16)
  with jd.options(implementation="kernel"):
    compiled = jax.jit(_chain(b, sfb, 6)).lower(x).compile()
  expected = np.asarray(compiled(x), np.float32)
  ffi.reset_counters()
  for _ in range(20):
    result = compiled(x)
  np.testing.assert_array_equal(np.asarray(result, np.float32), expected)
  counters = ffi.counters()
  assert counters["captures"] > 0
  assert counters["executes"] < 20 * 6


def test_replays_follow_addresses_that_change():
  _, (b, sfb) = scaled_operands(1, 512, 512)
  with jd.options(implementation="kernel"):
    function = jax.jit(_chain(b, sfb, 6))
    inputs = [
      jax.random.normal(jax.random.key(i), (128, 512), jnp.bfloat16)
      for i in range(12)
    ]
    alive = [function(x) for x in inputs for _ in range(3)]
    again = [function(x) for x in inputs]
  for i, result in enumerate(again):
    for j in range(3):
      np.testing.assert_array_equal(
        np.asarray(alive[3 * i + j], np.float32),
        np.asarray(result, np.float32),
      )


def test_one_program_serves_every_device_of_the_process():
  devices = jax.local_devices()
  if len(devices) < 2:
    pytest.skip("one GPU")
  a, b = scaled_operands(300, 520, 1024)
  expected = product(a, b)
  with jd.options(implementation="kernel"):
    function = jax.jit(jd.fp8_gemm_nt)
    results = [function(*jax.device_put((a, b), device)) for device in devices]
  for device, result in zip(devices, results, strict=True):
    assert result.devices() == {device}
    assert row_error(result, expected) < 1e-2


def test_shards_run_on_their_own_devices():
  devices = jax.local_devices()
  if len(devices) < 2:
    pytest.skip("one GPU")
  count = len(devices)
  mesh = jax.make_mesh(
    (count,), ("x",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  spec = jax.sharding.PartitionSpec("x")
  (a, sfa), (b, sfb) = scaled_operands(128 * count, 520, 1024)
  rows = jax.sharding.NamedSharding(mesh, spec)
  everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  operands = (
    jax.device_put((a, sfa), rows),
    jax.device_put((b, sfb), everywhere),
  )
  with jd.options(implementation="kernel"):
    result = jax.jit(jd.fp8_gemm_nt)(*operands)
    manual = jax.jit(
      jax.shard_map(
        jd.fp8_gemm_nt,
        mesh=mesh,
        in_specs=(spec, jax.sharding.PartitionSpec()),
        out_specs=spec,
      )
    )(*operands)
  expected = product((a, sfa), (b, sfb))
  assert row_error(result, expected) < 1e-2
  assert row_error(manual, expected) < 1e-2


def test_tensor_cores_add_fp8_products_with_fewer_bits_than_float32():
  """One large product hides small ones that float32 would keep."""
  a = np.zeros((64, 128), np.float32)
  a[:, 0] = 256
  a[:, 1:] = 2**-3
  a = jnp.asarray(a, jnp.float8_e4m3fn)
  ones = jnp.ones((64, 1), jnp.float32)
  with jd.options(implementation="kernel"):
    d = jax.jit(
      lambda: jd.fp8_gemm_nt(
        (a, ones), (a, jnp.ones((1, 1))), out_dtype=jnp.float32
      )
    )()
  exact = 2.0**16 + 127 * 2.0**-6
  lost = exact - float(d[0, 0])
  assert np.float32(exact) == exact  # float32 could hold it.
  assert 0 < lost < 16
