"""fp8_paged_mqa_logits under vmap, on four devices, and lowered for a GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from benchmarks import kernel_programs
from tests import paged_mqa_data
from tests.primitives.collectives import run

LENS = [[40], [0], [65], [64], [1], [70], [96], [12]]
GIVEN = paged_mqa_data.operands(LENS, 8, 32, 32, 3)
ARRAYS = tuple(map(jnp.asarray, GIVEN.arguments()[:5]))
# Which arrays have sequences.
ROWS = (True, False, True, True, True)


def logits(*arrays, clean=True):
  *first, indices = (*arrays, None)[:6]
  return dg.fp8_paged_mqa_logits(*first, None, 96, clean, jnp.float32, indices)


@functools.cache
def expected():
  return np.asarray(jax.jit(logits)(*ARRAYS))


def halves(x):
  return x.reshape(2, -1, *x.shape[1:])


def count(f, *arrays):
  """Returns how often the primitive is in a program."""
  return str(jax.make_jaxpr(f)(*arrays)).count("fp8_paged_mqa_logits[")


def test_sequences_of_a_batch_share_a_launch():
  f = jax.vmap(logits, tuple(0 if own else None for own in ROWS))
  arrays = [
    halves(x) if own else x for x, own in zip(ARRAYS, ROWS, strict=True)
  ]
  np.testing.assert_array_equal(jax.jit(f)(*arrays), halves(expected()))
  assert count(f, *arrays) == 1
  assert "scan" not in str(jax.make_jaxpr(f)(*arrays))


@pytest.mark.parametrize("batched", [True, False])
def test_indices_of_a_batch_stay_those_of_its_elements(batched):
  # Rows 3 and 4 have one index, but are of two elements.
  indices = jnp.array(
    [1, 1, 2, 2] * 2 if not batched else [1, 1, 1, 2, 2, 3, 3, 3]
  )
  indices = indices.astype(jnp.int32)
  dims = (*(0 if own else None for own in ROWS), 0 if batched else None)
  arrays = [
    halves(x) if own else x for x, own in zip(ARRAYS, ROWS, strict=True)
  ]
  arrays.append(halves(indices) if batched else indices[:4])
  f = jax.vmap(logits, dims)
  jaxpr = jax.make_jaxpr(f)(*arrays)
  assert str(jaxpr).count("fp8_paged_mqa_logits[") == 1
  np.testing.assert_array_equal(jax.jit(f)(*arrays), halves(expected()))
  (given,) = _operands_of(f, arrays)
  found = given[-1]
  same = found[1:] == found[:-1]
  wanted = [indices[i] == indices[i + 1] for i in range(7)]
  wanted[3] = False
  np.testing.assert_array_equal(same, wanted)


def _operands_of(f, arrays):
  """Returns what the primitive is given, each time."""
  seen = []
  closed = jax.make_jaxpr(f)(*arrays)

  def walk(jaxpr, consts, args):
    values = dict(zip(jaxpr.constvars, consts, strict=True))
    values |= dict(zip(jaxpr.invars, args, strict=True))
    for eqn in jaxpr.eqns:
      given = [v.val if hasattr(v, "val") else values[v] for v in eqn.invars]
      if eqn.primitive.name == "fp8_paged_mqa_logits":
        seen.append(given)
      found = eqn.primitive.bind(*given, **eqn.params)
      found = found if eqn.primitive.multiple_results else [found]
      values |= dict(zip(eqn.outvars, found, strict=True))

  walk(closed.jaxpr, closed.consts, arrays)
  return seen


def test_batches_of_caches_are_computed_one_after_the_other():
  q, cache, *others = ARRAYS
  f = jax.vmap(logits, (None, 0, None, None, None))
  found = jax.jit(f)(q, jnp.stack([cache, cache]), *others)
  np.testing.assert_array_equal(found, [expected()] * 2)


def mesh_of(axis_type):
  return jax.make_mesh((4,), ("x",), axis_types=(axis_type,))


SPECS = tuple(P("x") if own else P() for own in ROWS)


def test_shard_map_computes_the_shards():
  f = jax.shard_map(
    logits, mesh=mesh_of(AxisType.Auto), in_specs=SPECS, out_specs=P("x")
  )
  np.testing.assert_array_equal(jax.jit(f)(*ARRAYS), expected())


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
@pytest.mark.parametrize("varlen", [True, False])
def test_sharded_sequences_need_no_communication(axis_type, varlen):
  mesh = mesh_of(axis_type)
  arrays, specs = ARRAYS, SPECS
  if varlen:
    arrays = (*ARRAYS, jnp.arange(8, dtype=jnp.int32))
    specs = (*SPECS, P("x"))
  arrays = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(arrays, specs, strict=True)
  ]
  with jax.set_mesh(mesh):
    found, cost = run(logits, *arrays)
  np.testing.assert_array_equal(found, expected())
  assert found.sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 2)
  assert cost == {}


def test_a_sharded_batch_stays_sharded():
  mesh = mesh_of(AxisType.Explicit)
  arrays = [
    jax.device_put(x.reshape(4, 2, *x.shape[1:]), NamedSharding(mesh, P("x")))
    if own
    else x
    for x, own in zip(ARRAYS, ROWS, strict=True)
  ]
  f = jax.vmap(logits, tuple(0 if own else None for own in ROWS))
  with jax.set_mesh(mesh):
    found = jax.jit(f)(*arrays)
  assert found.sharding.spec[0] == "x"
  np.testing.assert_array_equal(np.asarray(found).reshape(8, -1), expected())


def launches(f, *arrays):
  lowered = kernel_programs.lowered_for(
    jax.jit(f), *arrays, device="NVIDIA H200"
  )
  return kernel_programs.launches(lowered)


def params(found):
  names = ["q", "pages", "scales", "weights", "lengths", "table", "indices"]
  names += ["logits", "num_rows", "next_n", "num_pages", "max_pages"]
  names += ["most_keys", "width", "clean", "fill"]
  values = [found["params"][f"p{i:02}"] for i in range(len(names))]
  assert len(found["params"]) == len(names)
  return dict(zip(names, values, strict=True))


def test_one_launch_is_all_there_is_on_a_gpu():
  def f(*arrays):
    meta = dg.get_paged_mqa_logits_metadata(arrays[3], 32)
    return dg.fp8_paged_mqa_logits(*arrays, meta, 70, True)

  (found,) = launches(f, *ARRAYS)
  assert found["kernel"] == "sm90_fp8_paged_mqa_logits"
  found = params(found)
  num_pages = ARRAYS[1].shape[0]
  assert found["q"]["dims"] == [32, 64, 1]
  assert found["pages"]["dims"] == [32, 36, num_pages]
  assert found["pages"]["box"] == [32, 32, 1]
  assert found["scales"]["dims"] == [9 * 32, num_pages, 1]
  assert found["weights"]["dims"] == [8, 8, 1]
  assert found["indices"]["index"] == found["lengths"]["index"] == 3
  assert found["logits"]["index"] == 5
  assert found["most_keys"]["value"] == found["width"]["value"] == 70
  assert found["clean"]["value"] == 1
  assert np.int32(found["fill"]["value"]).view(np.float32) == -np.inf


def test_a_gpu_is_told_of_sequences_of_rows():
  indices = jnp.zeros(8, jnp.int32)
  (found,) = launches(functools.partial(logits, clean=False), *ARRAYS, indices)
  assert ".is_varlen = true" in found["source"]
  found = params(found)
  assert found["indices"]["index"] == 5
  assert found["logits"]["index"] == 6
  assert found["clean"]["value"] == 0
