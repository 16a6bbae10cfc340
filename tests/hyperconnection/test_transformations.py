"""tf32_hc_prenorm_gemm under grad, vmap and shardings."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as jd
from tests.hyperconnection.hc_oracle import joined, operands
from tests.primitives.collectives import run
from tests.primitives.cuda_lowering import launches, lowered_for_cuda

M, N, K = 8, 24, 256


def arrays(**kwargs):
  return [jnp.asarray(x) for x in operands(M, N, K, **kwargs)]


def function(splits=None):
  return functools.partial(jd.tf32_hc_prenorm_gemm, num_splits=splits)


def assert_same(found, expected, tolerance=1e-5):
  for x, y in zip(found, expected, strict=True):
    x, y = (np.asarray(v, np.float64) for v in (x, y))
    assert x.shape == y.shape
    assert np.linalg.norm(x - y) <= tolerance * np.linalg.norm(y)


def cotangents(splits):
  random = np.random.default_rng(3)
  lead = () if splits is None else (splits,)
  shapes = ((*lead, M, N), (*lead, M))
  return [jnp.asarray(random.standard_normal(s), jnp.float32) for s in shapes]


@pytest.mark.parametrize("splits", [None, 3])
def test_gradients_are_those_of_the_formula(splits):
  a, b = arrays()
  dd, dsq = cotangents(splits)
  _, derivative = jax.vjp(function(splits), a, b)
  da, db = jax.jit(derivative)((dd, dsq))
  assert (da.dtype, db.dtype) == (jnp.bfloat16, jnp.float32)
  dd, dsq, a, b = (np.asarray(x, np.float64) for x in (dd, dsq, a, b))
  if splits is None:
    dd, dsq = dd[None], dsq[None]
  sizes = [128, 64, 64] if splits else [K]
  split = np.repeat(np.arange(len(sizes)), sizes)  # Of each column of K.
  exact_da = 2 * a * dsq[split].T + np.einsum("kmn,nk->mk", dd[split], b)
  exact_db = np.einsum("kmn,mk->nk", dd[split], a)
  # Rounded once.
  assert np.all(
    np.abs(np.asarray(da, np.float64) - exact_da)
    <= (2.0**-8 * np.abs(exact_da) + 1e-4)
  )
  assert_same([db], [exact_db])


@pytest.mark.parametrize("axes", [(0, None), (2, None), (None, 0), (1, 0)])
@pytest.mark.parametrize("splits", [None, 2])
def test_vmap_is_the_loop(axes, splits):
  a, b = operands(M, N, K, groups=3)
  a = np.moveaxis(a, 0, axes[0]) if axes[0] is not None else a[0]
  b = np.moveaxis(b, 0, axes[1]) if axes[1] is not None else b[0]
  a, b = jnp.asarray(a), jnp.asarray(b)
  f = function(splits)

  def element(x, axis, i):
    return x if axis is None else jnp.take(x, i, axis)

  looped = [f(element(a, axes[0], i), element(b, axes[1], i)) for i in range(3)]
  mapped = jax.vmap(f, axes)
  assert_same(mapped(a, b), [np.stack(x) for x in zip(*looped, strict=True)])
  assert len(launches(lowered_for_cuda(mapped, a, b))) == 1


def test_vmaps_nest():
  a, b = operands(M, N, K, groups=6)
  a, b = jnp.asarray(a.reshape(2, 3, M, K)), jnp.asarray(b[:2])
  f = jax.vmap(jax.vmap(function(), (0, None)))
  looped = [[function()(x, b[i]) for x in a[i]] for i in range(2)]
  expected = [
    np.stack([[pair[i] for pair in row] for row in looped]) for i in range(2)
  ]
  assert_same(f(a, b), expected)


CASES = {  # Mesh axes of m and k of a, of k of b; all-reduces.
  "rows": ("x", None, None, None, 0),
  "k of both": (None, "x", "x", None, 2),
  "rows and k": ("y", "x", "x", None, 2),
  "k of b is sliced": ("x", None, "y", None, 2),
  "rows of partial results": ("x", None, None, 2, 0),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_shardings_cost_no_needless_communication(case, axis_type):
  m, k_of_a, k_of_b, splits, reductions = CASES[case]
  a, b = arrays()
  f = function(splits)
  expected = f(a, b)
  mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(axis_type,) * 2)
  a = jax.device_put(a, NamedSharding(mesh, P(m, k_of_a)))
  b = jax.device_put(b, NamedSharding(mesh, P(None, k_of_b)))
  with jax.set_mesh(mesh):
    found, cost = run(f, a, b)
  assert_same(found, expected)
  assert set(cost) <= {"all-reduce"}
  # XLA may combine the two sums.
  assert cost.get("all-reduce", 0) <= reductions
  for x in found:
    rows = x.sharding.spec[0 if splits is None else 1] if m else m
    assert rows == m


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_partial_results_of_sharded_k_are_those_of_their_blocks(axis_type):
  a, b = arrays()
  mesh = jax.make_mesh((2,), ("x",), axis_types=(axis_type,))
  placed = [
    jax.device_put(x, NamedSharding(mesh, P(None, "x"))) for x in (a, b)
  ]
  with jax.set_mesh(mesh):
    found = jax.jit(function(3))(*placed)
  assert_same(found, function(3)(a, b))


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_gradients_of_sharded_rows_are_those_of_all(axis_type):
  a, b = arrays()

  def loss(a, b):
    return joined_loss(*jd.tf32_hc_prenorm_gemm(a, b))

  expected = jax.grad(loss, (0, 1))(a, b)
  mesh = jax.make_mesh((2,), ("x",), axis_types=(axis_type,))
  with jax.set_mesh(mesh):
    found = jax.jit(jax.grad(loss, (0, 1)))(
      jax.device_put(a, NamedSharding(mesh, P("x"))),
      jax.device_put(b, NamedSharding(mesh, P())),
    )
  assert_same(found, expected)


def joined_loss(d, sqr_sum):
  return (d * jax.lax.rsqrt(sqr_sum / K + 1e-6)[:, None]).sum()


def test_shard_map_computes_the_shards():
  a, b = arrays()
  mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))
  mapped = jax.shard_map(
    function(), mesh=mesh, in_specs=(P("x"), P()), out_specs=P("x")
  )
  assert_same(jax.jit(mapped)(a, b), function()(a, b))

  def loss(f, a, b):
    return joined_loss(*f(a, b))

  found = jax.jit(jax.grad(functools.partial(loss, mapped), (0, 1)))(a, b)
  expected = jax.grad(functools.partial(loss, function()), (0, 1))(a, b)
  assert_same(found, expected)


def test_a_batch_that_is_sharded_stays_so():
  a, b = operands(M, N, K, groups=2)
  b = jnp.asarray(b[0])
  expected = jax.vmap(function(), (0, None))(jnp.asarray(a), b)
  mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Explicit,))
  with jax.set_mesh(mesh):
    a = jax.device_put(jnp.asarray(a), NamedSharding(mesh, P("x")))
    found = jax.jit(jax.vmap(function(), (0, None)))(a, b)
  assert_same(found, expected)
  assert jax.typeof(found[0]).sharding.spec == P("x", None, None)
  assert joined(*found).shape == (2, M, N + 1)
