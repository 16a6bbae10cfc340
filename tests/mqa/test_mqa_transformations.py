"""fp8_mqa_logits under vmap, on four devices, and lowered for a GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from benchmarks import kernel_programs
from tests import mqa_data
from tests.primitives.collectives import run

RANGES = [(0, 20), (7, 31), (30, 30), (0, 37), (36, 99)]
ARRAYS = tuple(map(jnp.asarray, mqa_data.operands(8, 37, 8, 32, RANGES)))


def logits(q, keys, scales, *others):
  return dg.fp8_mqa_logits(q, (keys, scales), *others)


@functools.cache
def expected():
  return np.asarray(jax.jit(logits)(*ARRAYS))


def halves(x):
  return x.reshape(2, 4, *x.shape[1:])


def count(f, *arrays):
  """Returns how often the primitive is in a program."""
  return str(jax.make_jaxpr(f)(*arrays)).count("fp8_mqa_logits[")


def test_rows_of_a_batch_share_a_launch():
  q, keys, scales, *others = ARRAYS
  f = jax.vmap(logits, (0, None, None, 0, 0, 0))
  arrays = (halves(q), keys, scales, *map(halves, others))
  np.testing.assert_array_equal(jax.jit(f)(*arrays), halves(expected()))
  assert count(f, *arrays) == 1
  assert "scan" not in str(jax.make_jaxpr(f)(*arrays))


def test_a_batch_of_ranges_alone_is_one_of_rows():
  *others, starts, ends = ARRAYS
  f = jax.vmap(lambda ends: logits(*others, starts, ends), out_axes=1)
  found = jax.jit(f)(jnp.stack([ends, jnp.zeros_like(ends)]))
  np.testing.assert_array_equal(found[:, 0], expected())
  assert np.all(np.asarray(found[:, 1]) == -np.inf)


def test_batches_of_keys_are_computed_one_after_the_other():
  q, keys, scales, *others = ARRAYS
  f = jax.vmap(logits, (None, 0, 0, None, None, None))
  pair = (jnp.stack([keys, keys]), jnp.stack([scales, 2 * scales]))
  found = jax.jit(f)(q, *pair, *others)
  np.testing.assert_array_equal(found[0], expected())
  np.testing.assert_array_equal(found[1], 2 * expected())


ROWS = (P("x"), P(), P(), P("x"), P("x"), P("x"))


def mesh_of(axis_type):
  return jax.make_mesh((4,), ("x",), axis_types=(axis_type,))


def test_shard_map_computes_the_shards():
  f = jax.shard_map(
    logits, mesh=mesh_of(AxisType.Auto), in_specs=ROWS, out_specs=P("x")
  )
  np.testing.assert_array_equal(jax.jit(f)(*ARRAYS), expected())


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_sharded_rows_need_no_communication(axis_type):
  mesh = mesh_of(axis_type)
  arrays = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(ARRAYS, ROWS, strict=True)
  ]
  with jax.set_mesh(mesh):
    found, cost = run(logits, *arrays)
  np.testing.assert_array_equal(found, expected())
  assert found.sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 2)
  assert cost == {}


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_sharded_keys_are_gathered(axis_type):
  mesh = mesh_of(axis_type)
  q, keys, scales, *others = ARRAYS
  # A multiple of the devices; the ranges end before.
  keys = jnp.pad(keys, [(0, 3), (0, 0)])
  keys = jax.device_put(keys, NamedSharding(mesh, P("x")))
  scales = jnp.pad(scales, [(0, 3)])
  with jax.set_mesh(mesh):
    found = jax.jit(logits)(q, keys, scales, *others)
  np.testing.assert_array_equal(found[:, :36], expected()[:, :36])


def test_a_sharded_batch_stays_sharded():
  mesh = mesh_of(AxisType.Explicit)
  q, keys, scales, *others = ARRAYS
  sharding = NamedSharding(mesh, P("x"))
  q, *others = (
    jax.device_put(x.reshape(4, 2, *x.shape[1:]), sharding)
    for x in (q, *others)
  )
  f = jax.vmap(logits, (0, None, None, 0, 0, 0))
  with jax.set_mesh(mesh):
    found = jax.jit(f)(q, keys, scales, *others)
  assert found.sharding.spec[0] == "x"
  np.testing.assert_array_equal(np.asarray(found).reshape(8, -1), expected())


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_gradients_of_shared_keys_are_summed_over_devices(axis_type):
  mesh = mesh_of(axis_type)
  key = jax.random.key(0)
  q = jax.random.normal(key, (8, 8, 32))
  kv = jax.random.normal(jax.random.key(1), (37, 32))
  others = ARRAYS[3:]

  def loss(q, kv, *others):
    return dg.fp8_mqa_logits(q, kv, *others, False).sum()

  gradient = jax.jit(jax.grad(loss, (0, 1, 2)))
  wanted = gradient(q, kv, *others)
  specs = (P("x"), P(), P("x"), P("x"), P("x"))
  arrays = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip((q, kv, *others), specs, strict=True)
  ]
  with jax.set_mesh(mesh):
    found = gradient(*arrays)
  for x, y in zip(found, wanted, strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


def launches(f, *arrays):
  f = jax.jit(f)
  lowered = kernel_programs.lowered_for(f, *arrays, device="NVIDIA H200")
  return kernel_programs.launches(lowered)


def params(found):
  names = ["q", "keys", "scales", "weights", "starts", "ends", "logits"]
  names += ["num_rows", "num_keys", "width", "compressed", "fill"]
  values = [found["params"][f"p{i:02}"] for i in range(len(names))]
  assert len(found["params"]) == len(names)
  return dict(zip(names, values, strict=True))


def test_one_launch_is_all_there_is_on_a_gpu():
  (found,) = launches(logits, *ARRAYS)
  assert found["kernel"] == "sm90_fp8_mqa_logits"
  found = params(found)
  assert found["q"]["dims"] == [32, 64, 1]
  assert found["keys"]["dims"] == [32, 37, 1]
  assert found["scales"]["dims"] == [37, 1, 1]
  assert found["scales"]["strides"][0] % 16 == 0
  assert found["weights"]["dims"] == [8, 8, 1]
  assert found["width"]["value"] == 37
  assert np.int32(found["fill"]["value"]).view(np.float32) == -np.inf


def test_a_gpu_is_told_of_compressed_bfloat16_zeros():
  def f(q, keys, scales, *others):
    pair = (keys, scales)
    return dg.fp8_mqa_logits(q, pair, *others, False, 11, jnp.bfloat16)

  (found,) = launches(f, *ARRAYS)
  found = params(found)
  assert found["compressed"]["value"] == 1
  assert found["width"]["value"] == 11
  assert found["fill"]["value"] == 0


def test_plain_operands_are_cast_by_kernels():
  q = jnp.zeros((8, 8, 128), jnp.bfloat16)
  kv = jnp.zeros((40, 128), jnp.bfloat16)
  found = launches(dg.fp8_mqa_logits, q, kv, *ARRAYS[3:])
  names = [launch["kernel"] for launch in found]
  assert names == ["sm90_cast_rows", "sm90_cast_rows", "sm90_fp8_mqa_logits"]
