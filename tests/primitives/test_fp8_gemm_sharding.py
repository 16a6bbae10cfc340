"""fp8_gemm_nt on four devices: values, gradients and communication."""

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


@dataclasses.dataclass(frozen=True)
class Case:
  """Shardings of a, b, and c and the result; what they cost."""

  a: P
  b: P
  c: P
  k_axes: tuple[str, ...] = ()
  forward: int = 0
  backward: int = 0


CASES = {
  "replicated": Case(P(), P(), P()),
  "m": Case(P("x"), P(), P("x"), backward=1),
  "n": Case(P(), P("x"), P(None, "x"), backward=1),
  "k": Case(P(None, "x"), P(None, "x"), P(), ("x",), forward=1, backward=1),
  "m and n": Case(P("x"), P("y"), P("x", "y"), backward=2),
  "m and k": Case(
    P("x", "y"), P(None, "y"), P("x"), ("y",), forward=1, backward=2
  ),
  "m over both axes": Case(P(("x", "y")), P(), P(("x", "y")), backward=1),
}
by_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def normal(shape, seed):
  return jnp.asarray(
    np.random.default_rng(seed).normal(size=shape), jnp.float32
  )


# Over four devices m leaves 128 rows each: whole blocks of the gradient of b.
A, B, C = normal((512, 256), 0), normal((256, 256), 1), normal((512, 256), 2)


def gemm(a, b, c):
  return dg.fp8_gemm_nt(a, b, c, out_dtype=jnp.float32)


def mesh_of(axis_type):
  return jax.make_mesh((2, 2), ("x", "y"), axis_types=(axis_type,) * 2)


def placed(mesh, case, arrays=(A, B, C)):
  specs = (case.a, case.b, case.c)
  return [
    jax.tree.map(lambda x, s=s: jax.device_put(x, NamedSharding(mesh, s)), v)
    for v, s in zip(arrays, specs, strict=True)
  ]


def assert_close(found, expected):
  difference = np.linalg.norm(np.asarray(found) - np.asarray(expected))
  assert difference <= 1e-4 * np.linalg.norm(np.asarray(expected))


def gradients(f):
  return jax.grad(lambda a, b, c: (f(a, b, c) ** 2).sum(), (0, 1, 2))


@functools.cache
def expected_gradients():
  return jax.jit(gradients(gemm))(A, B, C)


def assert_gradients_agree(found):
  for x, y in zip(found, expected_gradients(), strict=True):
    assert_close(x, y)


def sums(count):
  return {"all-reduce": count} if count else {}


@by_case
@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_computes_the_shards(case, check_vma):
  def shard(a, b, c):
    if not case.k_axes:
      return gemm(a, b, c)
    return jax.lax.psum(gemm(a, b, None), case.k_axes) + c

  f = jax.shard_map(
    shard,
    mesh=mesh_of(AxisType.Auto),
    in_specs=(case.a, case.b, case.c),
    out_specs=case.c,
    check_vma=check_vma,
  )
  assert_close(jax.jit(f)(A, B, C), gemm(A, B, C))
  assert_gradients_agree(jax.jit(gradients(f))(A, B, C))


def test_a_varying_result_is_not_taken_for_a_replicated_one():
  with pytest.raises(ValueError, match="replicat"):
    jax.shard_map(
      lambda a, b: gemm(a, b, None),
      mesh=mesh_of(AxisType.Auto),
      in_specs=(P("x"), P()),
      out_specs=P(),
    )(A, B)


def test_unvarying_operands_give_an_unvarying_result():
  f = jax.shard_map(
    lambda a, b: gemm(a, b, None),
    mesh=mesh_of(AxisType.Auto),
    in_specs=(P(), P()),
    out_specs=P(),
  )
  assert_close(f(A, B), gemm(A, B, None))


@by_case
@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_shardings_cost_no_needless_communication(case, axis_type):
  mesh = mesh_of(axis_type)
  arrays = placed(mesh, case)
  with jax.set_mesh(mesh):
    found, cost = run(gemm, *arrays)
    assert_close(found, gemm(A, B, C))
    assert found.sharding.is_equivalent_to(NamedSharding(mesh, case.c), 2)
    assert cost == sums(case.forward)
    found, cost = run(gradients(gemm), *arrays)
    assert_gradients_agree(found)
    assert cost == sums(case.backward)


@by_case
@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_scales_are_sharded_with_their_operands(case, axis_type):
  mesh = mesh_of(axis_type)
  quantized = dg.per_token_cast_to_fp8(A), dg.per_block_cast_to_fp8(B)
  arrays = placed(mesh, case, (*quantized, C))
  with jax.set_mesh(mesh):
    found, cost = run(gemm, *arrays)
    assert_close(found, gemm(*quantized, C))
    assert cost == sums(case.forward)


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_dispatch_without_jit_or_a_mesh_in_context_works(axis_type):
  arrays = placed(mesh_of(axis_type), CASES["m and k"])
  assert_close(gemm(*arrays), gemm(A, B, C))


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
@pytest.mark.parametrize("case", ["n", "k"])
def test_a_dimension_whose_shards_cut_blocks_is_gathered(axis_type, case):
  a, b = normal((64, 384), 3), normal((384, 384), 4)
  mesh = jax.make_mesh((2,), ("x",), axis_types=(axis_type,))
  case = CASES[case]
  expected = dg.fp8_gemm_nt(a, b)
  quantized = dg.per_block_cast_to_fp8(b)
  with jax.set_mesh(mesh):
    a = jax.device_put(a, NamedSharding(mesh, case.a))
    b = jax.device_put(b, NamedSharding(mesh, case.b))
    for operand in (
      b,
      (jax.device_put(quantized[0], b.sharding), quantized[1]),
    ):
      np.testing.assert_allclose(
        jax.jit(dg.fp8_gemm_nt)(a, operand).astype(jnp.float32),
        expected.astype(jnp.float32),
        rtol=1e-2,
        atol=1e-2,
      )


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
@pytest.mark.parametrize("recipe", [(1, 1, 128), (1, 1, 32), (128, 128, 128)])
def test_every_recipe_is_sharded(axis_type, recipe):
  def f(a, b):
    return dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32, recipe=recipe)

  mesh = mesh_of(axis_type)
  a, b, _ = placed(mesh, CASES["m and k"])
  with jax.set_mesh(mesh):
    found, cost = run(f, a, b)
    assert_close(found, f(A, B))
    assert cost == sums(1)


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_a_weight_sharded_as_its_activations_is_gathered(axis_type):
  mesh = mesh_of(axis_type)
  arrays = placed(mesh, Case(P("x"), P("x"), P("x")))
  with jax.set_mesh(mesh):
    assert_close(jax.jit(gemm)(*arrays), gemm(A, B, C))
    assert_gradients_agree(jax.jit(gradients(gemm))(*arrays))


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_a_sharded_batch_needs_no_communication(axis_type):
  f = jax.vmap(lambda a, b: gemm(a, b, None), (0, None))
  g = jax.grad(lambda a, b: (f(a, b) ** 2).sum(), (0, 1))
  mesh = mesh_of(axis_type)
  a, b = normal((4, 8, 256), 5), normal((128, 256), 6)
  with jax.set_mesh(mesh):
    sharded = jax.device_put(a, NamedSharding(mesh, P("x")))
    found, cost = run(f, sharded, b)
    assert_close(found, f(a, b))
    assert cost == {}
    for x, y in zip(jax.jit(g)(sharded, b), jax.jit(g)(a, b), strict=True):
      assert_close(x, y)


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_quantised_operands_have_no_silent_gradient_here_either(axis_type):
  mesh = mesh_of(axis_type)
  a, b, _ = placed(mesh, CASES["m"])

  def f(a):
    return gemm(dg.per_token_cast_to_fp8(a), b, None).sum()

  with jax.set_mesh(mesh), pytest.raises(TypeError, match="a is quantised"):
    jax.jit(jax.grad(f))(a)


def test_a_mesh_may_be_manual_in_one_axis_and_explicit_in_the_other():
  mesh = mesh_of(AxisType.Explicit)
  case = CASES["m and n"]
  arrays = placed(mesh, case)
  with jax.set_mesh(mesh):
    f = jax.shard_map(
      gemm, in_specs=(P("x"), P(), P("x")), out_specs=P("x"), axis_names={"x"}
    )
    assert_close(jax.jit(f)(*arrays), gemm(A, B, C))


def test_a_mesh_may_be_manual_in_one_axis_and_automatic_in_the_other():
  mesh = mesh_of(AxisType.Auto)
  arrays = placed(mesh, CASES["m and n"])
  with jax.set_mesh(mesh):
    f = jax.shard_map(
      gemm, in_specs=(P("x"), P(), P("x")), out_specs=P("x"), axis_names={"x"}
    )
    assert_close(jax.jit(f)(*arrays), gemm(A, B, C))
