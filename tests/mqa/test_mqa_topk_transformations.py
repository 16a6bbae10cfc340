"""mqa_topk under vmap, on four devices, and lowered for a GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from benchmarks import kernel_programs
from jax_deepgemm.heuristics import topk_chunks
from jax_deepgemm.primitives import mqa_rows
from tests import mqa_data, mqa_fp4_data
from tests.primitives.collectives import run

RANGES = [(0, 20), (7, 31), (30, 30), (0, 37), (36, 99)]
ARRAYS = tuple(map(jnp.asarray, mqa_data.operands(8, 37, 8, 32, RANGES)))


def topk(q, keys, scales, *others):
  return dg.mqa_topk(q, (keys, scales), *others, 9)


@functools.cache
def expected():
  return tuple(map(np.asarray, jax.jit(topk)(*ARRAYS)))


def check(found, wanted=None):
  for x, y in zip(found, wanted or expected(), strict=True):
    np.testing.assert_array_equal(np.reshape(x, y.shape), y)


def halves(x):
  return x.reshape(2, 4, *x.shape[1:])


def test_rows_of_a_batch_share_a_launch():
  q, keys, scales, *others = ARRAYS
  f = jax.vmap(topk, (0, None, None, 0, 0, 0))
  arrays = (halves(q), keys, scales, *map(halves, others))
  check(jax.jit(f)(*arrays))
  assert "scan" not in str(jax.make_jaxpr(f)(*arrays))


def test_batches_of_keys_are_computed_one_after_the_other():
  q, keys, scales, *others = ARRAYS
  f = jax.vmap(topk, (None, 0, 0, None, None, None), out_axes=1)
  pair = (jnp.stack([keys, keys]), jnp.stack([scales, 2 * scales]))
  values, indices = jax.jit(f)(q, *pair, *others)
  check((values[:, 0], indices[:, 0]))
  check((values[:, 1] / 2, indices[:, 1]))


ROWS = (P("x"), P(), P(), P("x"), P("x"), P("x"))


def mesh_of(axis_type):
  return jax.make_mesh((4,), ("x",), axis_types=(axis_type,))


def test_shard_map_computes_the_shards_in_chunks(monkeypatch):
  check(expected())
  # One row at a time: the loop's results vary as the operands do.
  monkeypatch.setattr(mqa_rows, "_MOST_SCORES", 8 * 37)
  f = jax.shard_map(
    topk, mesh=mesh_of(AxisType.Auto), in_specs=ROWS, out_specs=P("x")
  )
  check(jax.jit(f)(*ARRAYS))


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_sharded_rows_need_no_communication(axis_type):
  mesh = mesh_of(axis_type)
  arrays = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(ARRAYS, ROWS, strict=True)
  ]
  with jax.set_mesh(mesh):
    found, cost = run(topk, *arrays)
  check(found)
  for x in found:
    assert x.sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 2)
  assert cost == {}


def test_a_sharded_batch_stays_sharded():
  mesh = mesh_of(AxisType.Explicit)
  q, keys, scales, *others = ARRAYS
  sharding = NamedSharding(mesh, P("x"))
  q, *others = (
    jax.device_put(x.reshape(4, 2, *x.shape[1:]), sharding)
    for x in (q, *others)
  )
  f = jax.vmap(topk, (0, None, None, 0, 0, 0))
  with jax.set_mesh(mesh):
    found = jax.jit(f)(q, keys, scales, *others)
  assert [x.sharding.spec[0] for x in found] == ["x", "x"]
  check(found)


def launches(f, *arrays):
  f = jax.jit(f)
  lowered = kernel_programs.lowered_for(f, *arrays, device="NVIDIA H200")
  return kernel_programs.launches(lowered), lowered.as_text()


def test_few_rows_are_cut_and_selected_from_again():
  arrays = mqa_data.operands(3, 4001, 8, 32, [(0, 4001)])

  def f(q, keys, scales, *others):
    return dg.mqa_topk(q, (keys, scales), *others, 100)

  found, text = launches(f, *map(jnp.asarray, arrays))
  logits, parts, merge = found
  assert logits["kernel"] == "sm90_fp8_mqa_logits"
  assert logits["params"]["p08"]["value"] == 4001
  assert logits["params"]["p09"]["value"] == 4004  # Whole vectors.
  assert parts["kernel"] == merge["kernel"] == "sm90_row_topk"
  num_parts = parts["params"]["p09"]["value"]
  assert parts["grid"] == [3 * num_parts, 1, 1]
  assert merge["grid"] == [3, 1, 1]
  assert merge["params"]["p07"]["value"] == num_parts * 100
  # Lists are read from where the parts' results are.
  places = [
    [launch["params"][f"p{i:02}"]["index"] for i in range(6)]
    for launch in (parts, merge)
  ]
  assert places[0][4:] == places[1][:2] == [3, 4]
  assert places[1][4:] == [5, 6]
  assert "while" not in text


def test_many_rows_are_computed_in_a_loop(monkeypatch):
  monkeypatch.setattr(topk_chunks, "_WANTED_BYTES", 200 * 4 * 1000)
  arrays = mqa_data.operands(1000, 1000, 8, 32, [(0, 1000)])

  def f(q, keys, scales, *others):
    return dg.mqa_topk(q, (keys, scales), *others, 2000)

  found, text = launches(f, *map(jnp.asarray, arrays))
  # 132 rows fit at a time, so that there are eight chunks of 125.
  assert [launch["kernel"] for launch in found] == [
    "sm90_fp8_mqa_logits",
    "sm90_row_topk",
  ]
  assert found[0]["params"]["p07"]["value"] == 128
  assert found[1]["grid"] == [128, 1, 1]
  assert found[1]["params"]["p08"]["value"] == 1000
  assert text.count("stablehlo.while") == 1


def test_fp4_is_decoded_by_the_logits_kernel():
  arrays = mqa_fp4_data.operands(3, 400, 8, 64, RANGES)

  def f(*arrays):
    return dg.mqa_topk(arrays[:2], arrays[2:4], *arrays[4:], 5)

  found, _ = launches(f, *map(jnp.asarray, arrays))
  names = [launch["kernel"] for launch in found]
  assert names == ["sm90_fp8_fp4_mqa_logits", *["sm90_row_topk"] * 2]


def test_fp4_rows_are_sharded_with_their_scales():
  mesh = mesh_of(AxisType.Auto)
  rows, keys = P("x"), P()
  specs = (rows, rows, keys, keys, rows, rows, rows)
  arrays = mqa_fp4_data.operands(8, 37, 8, 64, RANGES)

  def f(*arrays):
    return dg.mqa_topk(arrays[:2], arrays[2:4], *arrays[4:], 9)

  wanted = [np.asarray(x) for x in jax.jit(f)(*map(jnp.asarray, arrays))]
  sharded = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(arrays, specs, strict=True)
  ]
  with jax.set_mesh(mesh):
    found, cost = run(f, *sharded)
  check(found, wanted)
  assert cost == {}
