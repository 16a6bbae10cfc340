"""fp8_fp4_paged_mqa_logits under vmap, on four devices, and lowered."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from benchmarks import kernel_programs
from tests import paged_mqa_fp4_data
from tests.primitives.collectives import run

LENS = [[40], [0], [65], [64], [1], [70], [96], [12]]
INDICES = [1, 1, 2, 2, 2, 3, 3, 4]
GIVEN = paged_mqa_fp4_data.operands(LENS, 8, 64, 32, 3, indices=INDICES)
# q, its scales, the cache, and so on; indices last.
ARRAYS = tuple(
  map(
    jnp.asarray,
    (GIVEN.q, GIVEN.q_scales, *GIVEN.arguments()[1:5], GIVEN.indices),
  )
)
ROWS = (True, True, False, True, True, True, True)
DIMS = tuple(0 if own else None for own in ROWS)
SPECS = tuple(P("x") if own else P() for own in ROWS)


def logits(q, q_scales, *others):
  *others, indices = others if len(others) == 5 else (*others, None)
  return dg.fp8_fp4_paged_mqa_logits(
    (q, q_scales), *others, None, 96, True, jnp.float32, indices
  )


@functools.cache
def expected():
  return np.asarray(jax.jit(logits)(*ARRAYS))


def halves(x):
  return x.reshape(2, -1, *x.shape[1:])


def test_sequences_of_a_batch_share_a_launch():
  f = jax.vmap(logits, DIMS)
  arrays = [
    halves(x) if own else x for x, own in zip(ARRAYS, ROWS, strict=True)
  ]
  np.testing.assert_array_equal(jax.jit(f)(*arrays), halves(expected()))
  program = str(jax.make_jaxpr(f)(*arrays))
  assert program.count("fp8_fp4_paged_mqa_logits[") == 1
  assert "scan" not in program


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_sharded_sequences_need_no_communication(axis_type):
  mesh = jax.make_mesh((4,), ("x",), axis_types=(axis_type,))
  arrays = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(ARRAYS, SPECS, strict=True)
  ]
  with jax.set_mesh(mesh):
    found, cost = run(logits, *arrays)
  np.testing.assert_array_equal(found, expected())
  assert found.sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 2)
  assert cost == {}


def test_shard_map_computes_the_shards():
  mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
  f = jax.shard_map(logits, mesh=mesh, in_specs=SPECS[:-1], out_specs=P("x"))
  np.testing.assert_array_equal(jax.jit(f)(*ARRAYS[:-1]), expected())


@pytest.mark.parametrize("varlen", [False, True])
def test_one_launch_is_all_there_is_on_a_gpu(varlen):
  arrays = ARRAYS if varlen else ARRAYS[:-1]
  lowered = kernel_programs.lowered_for(
    jax.jit(logits), *arrays, device="NVIDIA H200"
  )
  (found,) = kernel_programs.launches(lowered)
  assert found["kernel"] == "sm90_fp8_fp4_paged_mqa_logits"
  assert (".is_varlen = true" in found["source"]) == varlen
  names = ["q", "pages", "weights", "q_scales", "lengths", "table", "indices"]
  names += ["logits", "q_codes", "page_bytes", "q_exponents", "head_weights"]
  params = {name: found["params"][f"p{i:02}"] for i, name in enumerate(names)}
  num_pages = len(GIVEN.cache)
  assert params["q"]["dims"] == [32, 64, 1]
  assert params["q"]["swizzle"] == 32
  # A page of 32 keys is one copy, its exponents with it.
  assert params["pages"]["dims"] == [128, 9, num_pages]
  assert params["pages"]["box"] == [128, 9, 1]
  assert params["weights"]["dims"] == params["q_scales"]["dims"] == [8, 8, 1]
  buffers = [params[name]["index"] for name in names[4:]]
  assert buffers == [3, 4, 6 if varlen else 3, 6 + varlen, 0, 1, 5, 2]
  assert len(found["params"]) == len(names) + 8
