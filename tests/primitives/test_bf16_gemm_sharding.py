"""bf16_gemm_* on four devices: values, gradients and communication."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as jd
from tests.gpu.bf16_data import operands
from tests.primitives.collectives import run

M, N, K = 32, 48, 64
LAYOUTS = ("nt", "nn", "tn", "tt")
# Mesh axes of m, n and k; all-reduces of the product and with its gradients.
CASES = {
  "replicated": (None, None, None, 0, 0),
  "m": ("x", None, None, 0, 1),
  "n": (None, "x", None, 0, 1),
  "k": (None, None, "x", 1, 1),
  "m and n": ("x", "y", None, 0, 2),
  "m and k": ("x", None, "y", 1, 2),
}


def gemm(layout):
  return getattr(jd, f"bf16_gemm_{layout}")


def specs(layout, m, n, k):
  a = P(k, m) if layout[0] == "t" else P(m, k)
  b = P(k, n) if layout[1] == "n" else P(n, k)
  return a, b, P(m, n)


def arrays(layout):
  c = np.random.default_rng(2).standard_normal((M, N)).astype(np.float32)
  return [jnp.asarray(x) for x in (*operands(M, N, K, layout=layout), c)]


def gradients(f):
  return jax.grad(lambda a, b, c: f(a, b, c).sum(), (0, 1, 2))


def assert_close(found, expected):
  found, expected = (np.asarray(x, np.float32) for x in (found, expected))
  difference = np.linalg.norm(found - expected)
  assert difference <= 1e-2 * np.linalg.norm(expected)


def sums(count):
  return {"all-reduce": count} if count else {}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_shardings_cost_no_needless_communication(layout, case, axis_type):
  m, n, k, forward, backward = CASES[case]
  f = gemm(layout)
  plain = arrays(layout)
  expected, expected_gradients = f(*plain), gradients(f)(*plain)
  mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(axis_type,) * 2)
  placed = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(plain, specs(layout, m, n, k), strict=True)
  ]
  with jax.set_mesh(mesh):
    found, cost = run(f, *placed)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
    assert cost == sums(forward)
    found, cost = run(gradients(f), *placed)
    for x, y in zip(found, expected_gradients, strict=True):
      assert_close(x, y)
    assert sum(cost.values()) <= backward


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_computes_the_shards(layout, check_vma):
  a, b, c = specs(layout, "x", "y", None)
  f = gemm(layout)
  mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
  mapped = jax.shard_map(
    f, mesh=mesh, in_specs=(a, b, c), out_specs=c, check_vma=check_vma
  )
  plain = arrays(layout)
  np.testing.assert_allclose(
    jax.jit(mapped)(*plain), f(*plain), rtol=1e-5, atol=1e-3
  )
  found = jax.jit(gradients(mapped))(*plain)
  for x, y in zip(found, gradients(f)(*plain), strict=True):
    assert_close(x, y)
