"""Expert parallelism on several GPUs, bit by bit what it is on CPUs.

Experts multiply by powers of two, so that every product is exact.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as jd
from jax_deepgemm import expert_exchange

pytestmark = pytest.mark.gpu

EXPERTS_PER_RANK = 4


def devices_of(platform):
  """Returns as many CPUs as GPUs, at most four, or skips the test."""
  count = min(len(jax.devices("gpu")), len(jax.devices("cpu")), 4)
  if count < 2:
    pytest.skip("needs two GPUs")
  return jax.devices(platform)[:count]


def shard(x, ids, weights, *, num_experts, **options):
  """Returns y, group sizes, number dropped and the rows in groups."""
  found = jd.ep_dispatch(
    x, ids, num_experts=num_experts, axis_name="e", **options
  )
  ends = jnp.cumsum(found.group_sizes)
  row = jnp.arange(found.tokens.shape[0])
  expert = jnp.searchsorted(ends, row, side="right").astype(jnp.int32)
  factor = jnp.ldexp(jnp.ones((), found.tokens.dtype), expert - 2)
  y = jd.ep_combine(found.tokens * factor[:, None], found, weights)
  live = jnp.where((row < ends[-1])[:, None], found.tokens, 0)
  return y, found.group_sizes, found.num_dropped[None], live


@functools.cache
def jitted(platform, check_vma=True, **options):
  devices = devices_of(platform)
  mesh = jax.make_mesh(
    (len(devices),), ("e",), axis_types=(AxisType.Auto,), devices=devices
  )
  options["num_experts"] = EXPERTS_PER_RANK * len(devices)
  layer = jax.shard_map(
    functools.partial(shard, **options),
    mesh=mesh,
    in_specs=P("e"),
    out_specs=P("e"),
    check_vma=check_vma,
  )

  def loss(x, weights, ids, dy):
    results = layer(x, ids, weights)
    return (results[0].astype(jnp.float32) * dy).sum(), results

  @jax.jit
  def both(x, ids, weights, dy):
    grads, results = jax.grad(loss, (0, 1), has_aux=True)(x, weights, ids, dy)
    return results, grads

  def run(*args):
    sharding = NamedSharding(mesh, P("e"))
    return jax.device_get(both(*jax.device_put(args, sharding)))

  return run


def arrays(tokens, width, *, top_k=3, seed=0, skewed=False):
  """Returns x, ids, weights and dy; ids reach below and past the experts."""
  ranks = len(devices_of("gpu"))
  random = np.random.default_rng(seed)
  experts = EXPERTS_PER_RANK * ranks
  shape = (ranks * tokens, top_k)
  ids = random.integers(-1, 3 if skewed else experts + 1, shape)
  normal = random.standard_normal
  return (
    jnp.asarray(normal((ranks * tokens, width)), jnp.bfloat16),
    ids.astype(np.int32),
    np.exp2(random.integers(-3, 3, shape)).astype(np.float32),
    normal((ranks * tokens, width)).astype(np.float32),
  )


def assert_equal(found, expected):
  (results, grads), (other, other_grads) = found, expected
  for a, b in zip((*results, grads[0]), (*other, other_grads[0]), strict=True):
    np.testing.assert_array_equal(a.astype(np.float32), b.astype(np.float32))
  # Its dot products are summed in another order.
  np.testing.assert_allclose(grads[1], other_grads[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("wire_dtype", ["float8_e4m3fn", "bfloat16"])
@pytest.mark.parametrize(
  ("tokens", "width"), [(300, 1024), (5, 136), (1, 7), (64, 7168)]
)
def test_rows_are_those_of_the_cpu(tokens, width, wire_dtype):
  args = arrays(tokens, width)
  gpu, cpu = (
    jitted(platform, wire_dtype=wire_dtype) for platform in ("gpu", "cpu")
  )
  assert_equal(gpu(*args), cpu(*args))


def test_rows_that_find_no_room_are_those_of_the_cpu():
  args = arrays(100, 256, skewed=True)
  gpu, cpu = (jitted(p, max_rows=150, check_vma=False) for p in ("gpu", "cpu"))
  found, expected = gpu(*args), cpu(*args)
  assert found[0][2].sum() > 0
  assert_equal(found, expected)


@pytest.mark.parametrize("slices", [1, 64, 4096])
def test_the_number_of_slices_changes_nothing(slices, monkeypatch):
  args = arrays(300, 1024)
  expected = jitted("cpu", wire_dtype="bfloat16")(*args)
  monkeypatch.setattr(expert_exchange, "WANTED_SLICES", slices)
  function = jitted.__wrapped__("gpu", wire_dtype="bfloat16")
  assert_equal(function(*args), expected)


def test_runs_repeat_bit_by_bit_while_sizes_change():
  gpu = jitted("gpu", wire_dtype="float8_e4m3fn")
  routings = [
    arrays(300, 1024, seed=seed, skewed=seed % 2 == 1) for seed in range(4)
  ]
  first = [gpu(*args) for args in routings]
  for _ in range(5):
    for args, expected in zip(routings, first, strict=True):
      again = gpu(*args)
      jax.tree.map(np.testing.assert_array_equal, again, expected)
