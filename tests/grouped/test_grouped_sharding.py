"""m-grouped GEMMs on four devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from tests.grouped.grouped_oracle import (
  BF16,
  FP8,
  bf16_operands,
  multiply,
  operands,
  problem,
)
from tests.primitives.collectives import run

N, K = 256, 140
PROBLEMS = {
  layout: problem(layout, [5, 0, 17, 9], spare=3)
  for layout in ("index", "ragged", "masked")
}


def product(layout, functions=FP8):
  p = PROBLEMS[layout]

  def f(a, b, numbers):
    return multiply(functions, p, a, b, numbers, out_dtype=jnp.float32)

  return f


def arrays_of(layout):
  p = PROBLEMS[layout]
  a, b = bf16_operands(p, N, K)
  return jnp.asarray(a), jnp.asarray(b), jnp.asarray(p.numbers)


def with_gradients(f):
  """Returns a function that returns the result and gradients of f."""

  def loss(a, b, numbers):
    d = f(a, b, numbers)
    return (d**2).sum(), d

  def run(*arrays):
    grads, d = jax.grad(loss, (0, 1), has_aux=True)(*arrays)
    return d, *grads

  return jax.jit(run)


@functools.cache
def expected(layout):
  return with_gradients(product(layout))(*arrays_of(layout))


def assert_close(found, expected):
  found, expected = (np.asarray(x, float) for x in (found, expected))
  difference = np.linalg.norm(found - expected)
  assert difference <= 4e-3 * np.linalg.norm(expected)


def assert_agrees(f, layout, *arrays):
  for x, y in zip(with_gradients(f)(*arrays), expected(layout), strict=True):
    assert_close(x, y)


# Shardings of b that leave n in whole scale blocks, or groups whole.
SPECS = {
  "index n": ("index", P(), P(None, "x"), P(), P(None, "x")),
  "ragged n": ("ragged", P(), P(None, "x"), P(), P(None, "x")),
  "masked g": ("masked", P("x"), P("x"), P("x"), P("x")),
  "masked g and n": (
    "masked",
    P("y"),
    P("y", "x"),
    P("y"),
    P("y", None, "x"),
  ),
}
by_spec = pytest.mark.parametrize(
  ("layout", "a", "b", "numbers", "d"), SPECS.values(), ids=SPECS
)


def mesh_of(axis_type):
  return jax.make_mesh((2, 2), ("x", "y"), axis_types=(axis_type,) * 2)


@by_spec
@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_computes_the_shards(layout, a, b, numbers, d, check_vma):
  f = jax.shard_map(
    product(layout),
    mesh=mesh_of(AxisType.Auto),
    in_specs=(a, b, numbers),
    out_specs=d,
    check_vma=check_vma,
  )
  assert_agrees(f, layout, *arrays_of(layout))


def test_rows_of_each_device_have_a_layout_of_their_own():
  p = PROBLEMS["ragged"]
  a, b = bf16_operands(p, N, K)
  sizes = np.asarray([[10, 0, 4, 3], [1, 1, 9, 6]], np.int32)
  rows = np.where(np.isnan(a), 0, a)[:34].reshape(2, 17, K)
  f = product("ragged", BF16)
  mapped = jax.shard_map(
    lambda a, b, sizes: f(a[0], b, sizes[0])[None],
    mesh=mesh_of(AxisType.Auto),
    in_specs=(P("x"), P(), P("x")),
    out_specs=P("x"),
  )
  d, _, grad = with_gradients(mapped)(rows, b, sizes)
  alone = with_gradients(f)
  each = [alone(rows[i], b, sizes[i]) for i in range(2)]
  for i in range(2):
    assert_close(d[i], each[i][0])
  # The gradient of the shared weights is a sum over the devices.
  assert_close(grad, sum(np.asarray(x[2], float) for x in each))


@by_spec
def test_explicit_shardings_cost_no_communication(layout, a, b, numbers, d):
  mesh = mesh_of(AxisType.Explicit)
  arrays = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(arrays_of(layout), (a, b, numbers), strict=True)
  ]
  with jax.set_mesh(mesh):
    found, cost = run(product(layout), *arrays)
    assert cost == {}
    assert found.sharding.is_equivalent_to(NamedSharding(mesh, d), found.ndim)
    assert_agrees(product(layout), layout, *arrays)


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
@pytest.mark.parametrize("layout", PROBLEMS)
@pytest.mark.parametrize(
  ("a", "b"),
  [(P("x"), P()), (P(), P(None, None, "y")), (P(), P(None, ("x", "y")))],
  ids=["rows", "k", "cut blocks"],
)
def test_what_cannot_be_sharded_is_gathered(layout, axis_type, a, b):
  p = PROBLEMS[layout]
  arrays = (*operands(p, N, 256), p.numbers)
  f = product(layout)
  mesh = mesh_of(axis_type)
  if layout != "masked" and a == P("x") and p.rows % 2:
    pytest.skip("an odd number of rows has no two equal shards")
  a, b = (NamedSharding(mesh, spec) for spec in (a, b))
  values_only = NamedSharding(mesh, P())
  placed = [
    (
      jax.device_put(x.values, sharding),
      jax.device_put(x.scales, values_only),
    )
    for x, sharding in zip(arrays[:2], (a, b), strict=True)
  ]
  with jax.set_mesh(mesh):
    assert_close(jax.jit(f)(*placed, p.numbers), f(*arrays))
