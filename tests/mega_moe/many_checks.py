"""Random calls of random layers beside their steps, on CPUs or GPUs."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as jd
from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.mega_moe_arguments import checked_operands
from jax_deepgemm.mega_moe_params import MegaMoeParams
from jax_deepgemm.mega_moe_shared import with_shared_choices
from jax_deepgemm.mega_moe_unfused import forward
from jax_deepgemm.options import Options
from tests.mega_moe.layers import FUNCTIONS, assert_same_bits
from tests.mega_moe.many_layers import (
  is_counted,
  joined,
  random_call,
  weights_of,
)


def mesh_of(devices):
  return Mesh(np.array(devices), ("e",), axis_types=(AxisType.Auto,))


def buffer_of(layer, mesh):
  return jd.get_symm_buffer_for_mega_moe(
    *(mesh, "e", layer.experts * mesh.size, layer.tokens + layer.room),
    *(layer.top_k, layer.hidden, layer.intermediate),
    mma_type=layer.mma_type,
    num_shared_experts=layer.num_shared,
    timeout_s=60.0,
  )


def arena_of(layer, ranks):
  """Returns the sizes that such a buffer has."""
  shared = layer.num_shared
  return MegaMoeArena(
    *(ranks, (layer.experts + shared) * ranks, layer.tokens + layer.room),
    *(layer.top_k + shared, layer.hidden, layer.intermediate),
    *(layer.mma_type, shared),
  )


def fused(layer, symmetric, implementation):
  """Returns one rank's layer, of num_tokens behind its operands."""

  def shard(*args):
    *args, num_tokens = args
    with jd.options(implementation=implementation):
      return FUNCTIONS[layer.mma_type](
        *(*args, symmetric),
        num_tokens=num_tokens,
        activation_clamp=layer.clamp,
        fast_math=layer.fast_math,
      )

  return shard


def steps(layer, ranks, implementation):
  """Returns the same, each step an operation, without a buffer."""
  arena = arena_of(layer, ranks)
  params = MegaMoeParams(
    arena=arena,
    axis_name="e",
    handle=0,
    clamp=math.inf if layer.clamp is None else layer.clamp,
    fast_math=layer.fast_math,
    options=Options(implementation=implementation),
  )

  def shard(*args):
    operands = checked_operands(*args, arena)
    return forward(with_shared_choices(operands, params), params).y

  return shard


def split(f, mesh):
  return jax.jit(jax.shard_map(f, mesh=mesh, in_specs=P("e"), out_specs=P("e")))


def placed(arrays, mesh, spec=None):
  """Returns host arrays over the devices of all processes."""
  sharding = NamedSharding(mesh, P("e") if spec is None else spec)

  def place(x):
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda i: x[i])

  return jax.tree.map(place, arrays)


def check_beside_one_rank(layer, mesh, device, seeds, implementation):
  """Raises unless calls of this process have the bits of steps of one rank.

  Args:
    layer: of as many ranks as `mesh` has.
    mesh: of devices of this process, or of several.
    device: where one rank computes all.
    seeds: of the calls; none is waited for before the next is launched.
    implementation: "kernel", or "auto" on CPUs.
  """
  expected = _steps_of_one_rank(layer, mesh.size, device, implementation)
  calls = [random_call(layer, mesh.size, seed) for seed in seeds]
  with buffer_of(layer, mesh) as symmetric:
    run = _call_of(fused(layer, symmetric, implementation), layer, mesh)
    found = [run(call) for call in calls]
    jax.block_until_ready(found)
    symmetric.check_status()
    for call, y in zip(calls, found, strict=True):
      right = expected(call)
      for part in y.addressable_shards:
        assert_same_bits(part.data, right[part.index])


def check_beside_steps(layer, mesh, seeds, implementation):
  """Raises unless calls have the bits of the steps of as many ranks."""
  other = _call_of(steps(layer, mesh.size, implementation), layer, mesh)
  with buffer_of(layer, mesh) as symmetric:
    run = _call_of(fused(layer, symmetric, implementation), layer, mesh)
    for seed in seeds:
      call = random_call(layer, mesh.size, seed)
      found = run(call)
      symmetric.check_status()
      assert_same_bits(found, other(call))


def _call_of(f, layer, mesh):
  """Returns what calls one rank's function f, with the layer's weights."""
  of_ranks = joined(*weights_of(layer, mesh.size), mesh.size)
  weights = placed(of_ranks, mesh)
  run = split(f, mesh)

  def result(call):
    *operands, counts = placed(call, mesh)
    return run(*operands, *weights, counts)

  return result


def _steps_of_one_rank(layer, ranks, device, implementation):
  """Returns a function of calls: what steps of one rank give, on the host."""
  mesh = mesh_of([device])
  whole = dataclasses.replace(
    layer, tokens=layer.tokens * ranks, experts=layer.experts * ranks
  )
  run = split(steps(whole, 1, implementation), mesh)
  weights = placed(joined(*weights_of(layer, ranks), 1), mesh)
  everyone = placed(np.array([whole.tokens], np.int32), mesh)

  def expected(call):
    y = np.asarray(run(*placed(call[:3], mesh), *weights, everyone))
    is_live = is_counted(layer, call.counts)[:, None]
    return np.where(is_live, y, np.zeros_like(y))

  return expected


def errors_of_a_loop(
  layer, mesh, counts, implementation, *, num_calls=4, spoil=None
):
  """Returns how many elements of calls in a loop are wrong, `[ranks]`.

  Args:
    layer: of as many ranks as `mesh` has.
    mesh: of devices of this process.
    counts: int32 `[n, ranks]`, tokens of n calls, each after the other.
    implementation: "kernel" or "auto".
    num_calls: different operands, which the n calls take in turn.
    spoil: changes what the steps give, `[num_calls, tokens, hidden]`.
  """
  ranks = mesh.size
  everyone = np.full(ranks, layer.tokens, np.int32)
  calls = [
    random_call(layer, ranks, seed, everyone) for seed in range(num_calls)
  ]
  run = _call_of(steps(layer, ranks, implementation), layer, mesh)
  expected = np.stack([np.asarray(run(call)) for call in calls])
  if spoil is not None:
    spoil(expected)
  operands = jax.tree.map(lambda *x: np.stack(x), *(c[:3] for c in calls))
  weights = placed(joined(*weights_of(layer, ranks), ranks), mesh)
  later = P(None, "e")
  with buffer_of(layer, mesh) as symmetric:
    loop = jax.shard_map(
      _looped(layer, symmetric, implementation),
      mesh=mesh,
      in_specs=(later, P("e"), later, later),
      out_specs=P("e"),
    )
    wrong = jax.jit(loop)(
      *(placed(operands, mesh, later), weights),
      *(placed(expected, mesh, later), placed(counts, mesh, later)),
    )
    wrong.block_until_ready()
    symmetric.check_status()
  return np.asarray(wrong)


def _looped(layer, symmetric, implementation):
  """Returns one rank's loop of calls, each of which reads the one before.

  Its operands are x, choices and weights `[c, t, ...]`, the experts' weights,
  what c calls of all tokens give, and `[n, 1]` counts of tokens.
  """
  layer_of = fused(layer, symmetric, implementation)
  rows = np.arange(layer.tokens, dtype=np.int32)[:, None]

  def shard(calls, weights, expected, counts):
    def step(i, wrong):
      inputs = jax.tree.map(
        lambda x: jax.lax.dynamic_index_in_dim(x, i % len(x), keepdims=False),
        (calls, expected),
      )
      (operands, of_all), count, wrong = jax.lax.optimization_barrier(
        (inputs, counts[i], wrong)
      )
      y = layer_of(*operands, *weights, count)
      right = jnp.where(rows < count, of_all, jnp.zeros_like(of_all))
      return wrong + jnp.sum(_bits(y) != _bits(right), dtype=jnp.int32)

    none = jnp.zeros_like(counts[0])
    return jax.lax.fori_loop(0, len(counts), step, none)

  return shard


def _bits(y):
  return jax.lax.bitcast_convert_type(y, jnp.uint16)
