"""fp8_fp4_gemm_nt under grad, vmap, shardings and checkpoint."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from jax_deepgemm.testing import calc_diff
from tests.primitives.collectives import run
from tests.primitives.fp4_oracle import dequantized_fp4, fp4
from tests.primitives.gemm_oracle import scaled


def normal(shape, seed, dtype=jnp.float32):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


M, N, K = 64, 96, 512
A, C, DY = normal((M, K), 0), normal((M, N), 1), normal((M, N), 2)
B = jax.tree.map(jnp.asarray, fp4(N, K, 5, -3, 0))


def gemm(a, b, c=None):
  return dg.fp8_fp4_gemm_nt(a, b, c, out_dtype=jnp.float32)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("fp4_side", ["a", "b"])
@pytest.mark.parametrize("k", [512, 301])
def test_gradients_flow_to_a_plain_side_and_c(dtype, fp4_side, k):
  x, b = normal((M, k), 0, dtype), fp4(N, k, 5, -3, 0)

  def loss(x, c):
    d = gemm(x, b, c) if fp4_side == "b" else gemm(b, x, c.T).T
    return (d * DY).sum()

  dx, dc = jax.jit(jax.grad(loss, (0, 1)))(x, C)
  assert (dx.shape, dx.dtype) == (x.shape, dtype)
  exact = np.asarray(DY, np.float64) @ dequantized_fp4(b, k)
  assert calc_diff(np.asarray(dx, np.float64), exact) < 2e-3
  np.testing.assert_array_equal(dc, DY)


def test_float32_scales_have_the_same_gradients():
  scales = dg.unpack_ue8m0_from_int(B.scales)
  expected = jax.grad(lambda a: (gemm(a, B) * DY).sum())(A)
  found = jax.grad(lambda a: (gemm(a, (B.values, scales)) * DY).sum())(A)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("fp4_side", ["a", "b"])
def test_a_quantised_side_has_no_silent_gradient(fp4_side):
  def loss(x):
    pair = dg.per_token_cast_to_fp8(x)
    return (gemm(pair, B) if fp4_side == "b" else gemm(B, pair)).sum()

  with pytest.raises(TypeError, match="the fp8 operand is quantised and has"):
    jax.grad(loss)(A)


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_cast_to_fp4_has_no_silent_gradient(packed):
  def loss(w):
    return gemm(A, dg.per_token_cast_to_fp4(w, True, 32, packed)).sum()

  w = normal((N, K), 3)
  with pytest.raises(TypeError, match="x is cast to FP4 and has no gradient"):
    jax.grad(loss)(w)
  stopped = jax.grad(lambda w: loss(jax.lax.stop_gradient(w)))(w)
  np.testing.assert_array_equal(stopped, np.zeros_like(w))


def test_checkpoint_changes_no_gradient():
  def loss(a):
    return (gemm(a, B) ** 2).sum()

  expected = jax.jit(jax.grad(loss))(A)
  save = jax.checkpoint_policies.everything_saveable
  found = jax.jit(jax.grad(jax.checkpoint(loss, policy=save)))(A)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_a_vmap_is_the_loop(axes):
  a = jnp.stack([A, 2 * A[::-1], A]) if axes[0] == 0 else A
  b = B if axes[1] is None else jax.tree.map(lambda x: jnp.stack([x] * 3), B)

  def one(i):
    pair = b if axes[1] is None else jax.tree.map(lambda x: x[i], b)
    return gemm(a if axes[0] is None else a[i], pair)

  found = jax.vmap(gemm, axes)(a, b)
  np.testing.assert_allclose(
    found, np.stack([one(i) for i in range(3)]), rtol=1e-5, atol=1e-4
  )


CASES = {
  "m": (P("x"), P(), P("x"), 0),
  "n": (P(), P("x"), P(None, "x"), 0),
  "k": (P(None, "x"), P(None, "x"), P(), 1),
  "m and n": (P("x"), P("y"), P("x", "y"), 0),
  "m and k": (P("x", "y"), P(None, "y"), P("x"), 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
@pytest.mark.parametrize("quantised", [False, True])
def test_shardings_cost_no_needless_communication(case, axis_type, quantised):
  *specs, num_sums = case
  mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(axis_type,) * 2)
  a = scaled(M, K, (1, 128), 1) if quantised else A
  expected = gemm(a, B, C)
  arrays = [
    jax.tree.map(lambda x, s=s: jax.device_put(x, NamedSharding(mesh, s)), v)
    for v, s in zip((a, B, C), specs, strict=True)
  ]
  with jax.set_mesh(mesh):
    found, cost = run(gemm, *arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    assert found.sharding.is_equivalent_to(NamedSharding(mesh, specs[2]), 2)
  assert cost == ({"all-reduce": num_sums} if num_sums else {})


def test_shard_map_computes_the_shards():
  mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
  specs = (P("x"), P(), P("x"))
  f = jax.shard_map(gemm, mesh=mesh, in_specs=specs, out_specs=P("x"))
  np.testing.assert_allclose(jax.jit(f)(A, B, C), gemm(A, B, C), rtol=1e-6)
  g = jax.grad(lambda a: (f(a, B, C) * DY).sum())
  expected = jax.grad(lambda a: (gemm(a, B, C) * DY).sum())(A)
  np.testing.assert_allclose(jax.jit(g)(A), expected, rtol=1e-4, atol=1e-4)
