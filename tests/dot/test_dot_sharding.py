"""fp8_dot_general and fp8_ragged_dot on four devices."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from tests.primitives.collectives import run

FLAX = (((2,), (0,)), ((), ()))


def normal(shape, seed):
  return jnp.asarray(
    np.random.default_rng(seed).normal(size=shape), jnp.float32
  )


# Rows of a device are whole blocks of the gradient of the weight.
X, W, MAIN = (
  normal((4, 128, 256), 0),
  normal((256, 256), 1),
  normal((256,) * 2, 2),
)


@dataclasses.dataclass(frozen=True)
class Case:
  """Shardings of x, w and the result."""

  x: P
  w: P
  y: P
  k_axes: tuple[str, ...] = ()


CASES = {
  "data": Case(P("x"), P(), P("x")),
  "columns": Case(P("x"), P(None, "y"), P("x", None, "y")),
  "rows": Case(P("x", None, "y"), P("y"), P("x"), ("y",)),
}
by_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def loss(dot, x, w, **settings):
  return (dot(x, w, FLAX, **settings) ** 2).sum()


def gradients(dot, **settings):
  return jax.grad(functools.partial(loss, dot, **settings), (0, 1))


def main_gradient(x, w, main):
  return jax.grad(lambda m: loss(dg.fp8_dot_general, x, w, main_grad=m))(main)


@functools.cache
def expected():
  dx, dw = jax.jit(gradients(dg.fp8_dot_general))(X, W)
  return dx, dw, MAIN + dw


def assert_close(found, wanted):
  found, wanted = np.asarray(found, float), np.asarray(wanted, float)
  difference = np.linalg.norm(found - wanted)
  assert difference <= 1e-4 * np.linalg.norm(wanted)


def mesh_of(axis_type):
  return jax.make_mesh((2, 2), ("x", "y"), axis_types=(axis_type,) * 2)


def placed(mesh, case):
  specs = (case.x, case.w, case.w)
  return [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip((X, W, MAIN), specs, strict=True)
  ]


@by_case
@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_it_sends_what_the_plain_dot_sends(case, axis_type):
  mesh = mesh_of(axis_type)
  with jax.set_mesh(mesh):
    *arrays, main = placed(mesh, case)
    settings = {}
    if axis_type == AxisType.Explicit and case.k_axes:
      settings = {"out_sharding": case.y}
    _, plain = run(gradients(jax.lax.dot_general, **settings), *arrays)
    found, cost = run(gradients(dg.fp8_dot_general, **settings), *arrays)
    for x, y in zip(found, expected(), strict=False):
      assert_close(x, y)
    assert cost == plain
    found, cost = run(main_gradient, *arrays, main)
    assert_close(found, expected()[2])
    assert found.sharding.is_equivalent_to(main.sharding, 2)
    assert sum(cost.values()) <= sum(plain.values())


@by_case
@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_computes_the_shards(case, check_vma):
  def dot(x, w, dimension_numbers, main_grad=None):
    del dimension_numbers
    y = dg.fp8_dot_general(x, w, FLAX, main_grad=main_grad)
    return jax.lax.psum(y, case.k_axes) if case.k_axes else y

  def mapped(x, w, dimension_numbers, main_grad=None):
    return jax.shard_map(
      functools.partial(dot, dimension_numbers=dimension_numbers),
      mesh=mesh_of(AxisType.Auto),
      in_specs=(case.x, case.w),
      out_specs=case.y,
      check_vma=check_vma,
    )(x, w)

  found = jax.jit(gradients(mapped))(X, W)
  for x, y in zip(found, expected(), strict=False):
    assert_close(x, y)


def test_a_replicated_main_gradient_is_added_once():
  def dot(x, w, main):
    return dg.fp8_dot_general(x, w, FLAX, main_grad=main)

  mapped = jax.shard_map(
    dot,
    mesh=mesh_of(AxisType.Auto),
    in_specs=(P("x"), P(None, "y"), P(None, "y")),
    out_specs=P("x", None, "y"),
  )
  found = jax.jit(jax.grad(lambda m: (mapped(X, W, m) ** 2).sum()))(MAIN)
  assert_close(found, expected()[2])


def test_sharded_weights_that_do_not_fit_are_gathered():
  mesh = mesh_of(AxisType.Explicit)
  with jax.set_mesh(mesh):
    arrays = placed(mesh, Case(P("x"), P("x"), P("x")))[:2]
    found, cost = run(gradients(dg.fp8_dot_general), *arrays)
    for x, y in zip(found, expected(), strict=False):
      assert_close(x, y)
    assert set(cost) == {"all-gather", "all-reduce"}


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_batch_dimensions_stay_sharded(axis_type):
  x, w = normal((4, 128, 128), 3), normal((4, 128, 128), 4)
  dimension_numbers = (((2,), (1,)), ((0,), (0,)))

  def dot(x, w):
    return dg.fp8_dot_general(x, w, dimension_numbers)

  mesh = mesh_of(axis_type)
  with jax.set_mesh(mesh):
    sharded = [jax.device_put(v, NamedSharding(mesh, P("x"))) for v in (x, w)]
    found, cost = run(dot, *sharded)
  assert_close(found, dot(x, w))
  assert cost == {}


def test_a_result_goes_where_it_is_asked_for():
  mesh = mesh_of(AxisType.Explicit)
  with jax.set_mesh(mesh):
    x, w, _ = placed(mesh, CASES["data"])
    y = dg.fp8_dot_general(x, w, FLAX, out_sharding=P("x", None, "y"))
    assert y.sharding.spec == P("x", None, "y")


EXPERTS, EXPERTS_MAIN = normal((3, 128, 512), 6), normal((3, 128, 512), 7)
TOKENS, SIZES = normal((48, 128), 5), np.array([20, 0, 20], np.int32)


def ragged(x, w, main):
  return dg.fp8_ragged_dot(x, w, SIZES, main_grad=main)


def ragged_loss(x, main, w, f=ragged):
  return (f(x, w, main) ** 2).sum()


@functools.cache
def ragged_gradients():
  return jax.jit(jax.grad(ragged_loss, (0, 1)))(TOKENS, EXPERTS_MAIN, EXPERTS)


@pytest.mark.parametrize("check_vma", [True, False])
def test_shards_of_a_ragged_dot(check_vma):
  columns = P(None, None, ("x", "y"))
  mapped = jax.shard_map(
    ragged,
    mesh=mesh_of(AxisType.Auto),
    in_specs=(P(), columns, columns),
    out_specs=P(None, ("x", "y")),
    check_vma=check_vma,
  )
  g = jax.grad(functools.partial(ragged_loss, f=mapped), (0, 1))
  found = jax.jit(g)(TOKENS, EXPERTS_MAIN, EXPERTS)
  for v, u in zip(found, ragged_gradients(), strict=True):
    assert_close(v, u)


def test_columns_of_a_ragged_dot_stay_sharded():
  mesh = mesh_of(AxisType.Explicit)
  with jax.set_mesh(mesh):
    sharding = NamedSharding(mesh, P(None, None, "y"))
    main, w = (jax.device_put(v, sharding) for v in (EXPERTS_MAIN, EXPERTS))
    found, cost = run(jax.grad(ragged_loss, (0, 1)), TOKENS, main, w)
    assert found[1].sharding.is_equivalent_to(sharding, 3)
  for v, u in zip(found, ragged_gradients(), strict=True):
    assert_close(v, u)
  assert cost == {"all-reduce": 1}
