"""`moe_mlp` over several devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from tests.moe.moe_oracle import layer

F8, BF16 = jnp.float8_e4m3fn, jnp.bfloat16
_COLLECTIVES = ("all-reduce(", "all-gather(", "all-to-all(", "permute(")


def step(compute_dtype):
  """Returns operands -> (result, gradients of x and the weights)."""

  def run(x, w_gate, w_up, w_down, sizes, dy):
    y, pull = jax.vjp(
      lambda *arrays: dg.moe_mlp(*arrays, sizes, compute_dtype=compute_dtype),
      x,
      w_gate,
      w_up,
      w_down,
    )
    return y, pull(dy)

  return jax.jit(run)


def arrays(d=128, f=256, n=64):
  operands = layer([5, 17, 0], d=d, f=f, n=n, spare=2)
  dy = np.random.default_rng(1).normal(size=(24, n)).astype(np.float32)
  return *(jnp.asarray(x) for x in operands), jnp.asarray(dy)


def assert_near(found, expected):
  for x, y in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
    x, y = np.asarray(x), np.asarray(y)
    assert np.linalg.norm(x - y) <= 1e-5 * np.linalg.norm(y)


def test_hidden_columns_stay_sharded_over_explicit_axes():
  mesh = jax.make_mesh(
    (2,), ("tensor",), axis_types=(jax.sharding.AxisType.Explicit,)
  )
  operands = arrays()
  columns, rows = P(None, None, "tensor"), P(None, "tensor", None)
  specs = (P(), columns, columns, rows, P(), P())
  placed = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(operands, specs, strict=True)
  ]
  compiled = step(F8).lower(*placed).compile()
  found = compiled(*placed)
  assert_near(found, step(F8)(*operands))
  assert found[1][1].sharding.spec[2] == "tensor"
  # One sum, of the results and of the gradients of x together.
  text = compiled.as_text()
  counts = [text.count(name) for name in _COLLECTIVES]
  assert counts == [1, 0, 0, 0]


@pytest.mark.parametrize("check_vma", [True, False])
def test_experts_are_sharded_inside_shard_map(check_vma):
  mesh = jax.make_mesh(
    (2,), ("expert",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  x, w_gate, w_up, w_down, _, dy = arrays(f=128)
  weights = [w[:2] for w in (w_gate, w_up, w_down)]
  sizes = jnp.array([9, 10], jnp.int32)
  split = P("expert")

  def shards(x, w_gate, w_up, w_down, sizes, dy):
    y, (dx, *dw) = step(F8)(x, w_gate, w_up, w_down, sizes, dy)
    return y, (dx, *dw)

  run = jax.jit(
    jax.shard_map(
      shards,
      mesh=mesh,
      in_specs=(split,) * 6,
      out_specs=split,
      check_vma=check_vma,
    )
  )
  found = run(x, *weights, sizes, dy)
  parts = [
    step(F8)(
      x[12 * i : 12 * i + 12],
      *(w[i : i + 1] for w in weights),
      sizes[i : i + 1],
      dy[12 * i : 12 * i + 12],
    )
    for i in range(2)
  ]
  expected = jax.tree.map(lambda *parts: jnp.concatenate(parts), *parts)
  assert_near(found, expected)
