"""fp8_fp4_mqa_logits under vmap, on four devices, and lowered for a GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from benchmarks import kernel_programs
from tests import mqa_fp4_data
from tests.primitives.collectives import run

RANGES = [(0, 20), (7, 31), (30, 30), (0, 37), (36, 99)]
ARRAYS = tuple(map(jnp.asarray, mqa_fp4_data.operands(8, 37, 8, 64, RANGES)))


def logits(q, q_scales, keys, scales, *others):
  return dg.fp8_fp4_mqa_logits((q, q_scales), (keys, scales), *others)


@functools.cache
def expected():
  return np.asarray(jax.jit(logits)(*ARRAYS))


def halves(x):
  return x.reshape(2, 4, *x.shape[1:])


def test_rows_of_a_batch_share_a_launch():
  q, q_scales, keys, scales, *others = ARRAYS
  f = jax.vmap(logits, (0, 0, None, None, 0, 0, 0))
  arrays = (halves(q), halves(q_scales), keys, scales, *map(halves, others))
  np.testing.assert_array_equal(jax.jit(f)(*arrays), halves(expected()))
  program = str(jax.make_jaxpr(f)(*arrays))
  assert program.count("fp8_fp4_mqa_logits[") == 1
  assert "scan" not in program


ROWS = (P("x"), P("x"), P(), P(), P("x"), P("x"), P("x"))


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_sharded_rows_need_no_communication(axis_type):
  mesh = jax.make_mesh((4,), ("x",), axis_types=(axis_type,))
  arrays = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(ARRAYS, ROWS, strict=True)
  ]
  with jax.set_mesh(mesh):
    found, cost = run(logits, *arrays)
  np.testing.assert_array_equal(found, expected())
  assert found.sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 2)
  assert cost == {}


def test_shard_map_computes_the_shards():
  mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
  f = jax.shard_map(logits, mesh=mesh, in_specs=ROWS, out_specs=P("x"))
  np.testing.assert_array_equal(jax.jit(f)(*ARRAYS), expected())


def test_one_launch_is_all_there_is_on_a_gpu():
  f = jax.jit(logits)
  lowered = kernel_programs.lowered_for(f, *ARRAYS, device="NVIDIA H200")
  (found,) = kernel_programs.launches(lowered)
  assert found["kernel"] == "sm90_fp8_fp4_mqa_logits"
  names = ["q", "keys", "scales", "weights", "q_scales"]
  maps = {name: found["params"][f"p{i:02}"] for i, name in enumerate(names)}
  assert maps["q"]["dims"] == [32, 64, 1]
  assert maps["q"]["swizzle"] == 32
  assert maps["keys"]["dims"] == [32, 37, 1]
  assert maps["scales"]["dims"] == [37, 1, 1]
  assert maps["weights"]["dims"] == [8, 8, 1]
  assert maps["q_scales"]["dims"] == [64, 1, 1]
  assert len(found["params"]) == len(names) + 8 + 5
