"""The fused layer has the bits of its steps, on as many GPUs as there are."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jax_deepgemm as jd
from jax_deepgemm.mega_moe_arguments import checked_operands
from jax_deepgemm.mega_moe_params import MegaMoeParams
from jax_deepgemm.mega_moe_unfused import forward
from jax_deepgemm.options import Options
from tests.gpu import two_processes
from tests.gpu.gemm_data import poison_device_memory
from tests.mega_moe.layers import (
  BF16,
  FP4,
  FP8,
  FUNCTIONS,
  assert_near,
  assert_same_bits,
  cast_to_fp4,
)

pytestmark = pytest.mark.gpu


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Of a layer; tokens and experts are those of a rank."""

  tokens: int
  experts: int
  top_k: int
  hidden: int
  intermediate: int
  room: int = 0  # Tokens that the buffer has more room for.

  def id(self):
    return "x".join(map(str, dataclasses.astuple(self)))


CASES = [
  Sizes(1, 1, 1, 128, 128),
  Sizes(7, 3, 2, 256, 384, room=5),
  Sizes(130, 8, 6, 1024, 512),
  Sizes(64, 32, 8, 2048, 1024, room=64),
  Sizes(2048, 8, 6, 2048, 1024),
]


def ranks_here(most=8):
  """Returns how many GPUs there are, a power of two."""
  return 1 << int(math.log2(min(len(jax.devices("gpu")), most)))


def mesh_of(ranks):
  devices = jax.devices("gpu")[:ranks]
  types = (AxisType.Auto,)
  return jax.make_mesh((ranks,), ("e",), axis_types=types, devices=devices)


def buffer_of(sizes, ranks, mma_type=FP8, num_shared=0):
  return jd.get_symm_buffer_for_mega_moe(
    mesh_of(ranks),
    "e",
    sizes.experts * ranks,
    sizes.tokens + sizes.room,
    sizes.top_k,
    sizes.hidden,
    sizes.intermediate,
    mma_type=mma_type,
    num_shared_experts=num_shared,
    timeout_s=20.0,
  )


def operands(sizes, ranks, seed=0, num_shared=0):
  """Returns x, indices with gaps, weights, and the experts' weights.

  The last of each rank's experts are shared, and differ from rank to rank.
  """
  random = np.random.default_rng(seed)
  tokens, experts = sizes.tokens * ranks, sizes.experts * ranks
  top_k = min(sizes.top_k, experts)
  keys = jax.random.split(jax.random.key(seed), 3)
  x = jax.random.normal(keys[0], (tokens, sizes.hidden), jnp.bfloat16)
  # Some experts are chosen by nearly all, some by none.
  scores = random.random((tokens, experts)) + np.linspace(0, 0.5, experts)
  idx = np.argsort(-scores, axis=1)[:, :top_k].astype(np.int32)
  idx[random.random(idx.shape) < 0.1] = -1
  weights = random.standard_normal((tokens, top_k)).astype(np.float32)

  def weight(key, n, k):
    count = experts + num_shared * ranks
    w = jax.random.normal(key, (count, n, k), jnp.bfloat16)
    return w / jnp.sqrt(jnp.bfloat16(k))

  l1 = weight(keys[1], 2 * sizes.intermediate, sizes.hidden)
  l2 = weight(keys[2], sizes.hidden, sizes.intermediate)
  return x, jnp.asarray(idx), jnp.asarray(weights), l1, l2


def quantised(layer, mma_type=FP8):
  """Returns x and weights as products read them."""
  if mma_type == BF16:
    return layer
  x, idx, weights, l1, l2 = layer
  cast = jax.jit(cast_to_fp4 if mma_type == FP4 else jd.per_block_cast_to_fp8)
  return jax.jit(jd.per_token_cast_to_fp8)(x), idx, weights, cast(l1), cast(l2)


def split(f, ranks):
  return jax.jit(
    jax.shard_map(f, mesh=mesh_of(ranks), in_specs=P("e"), out_specs=P("e"))
  )


def fused(symmetric, ranks, **options):
  """Returns the fused layer, of num_tokens behind its operands."""
  function = FUNCTIONS[symmetric.arena.mma_type]

  def shard(*args):
    *args, num_tokens = args
    with jd.options(implementation="kernel"):
      return function(*args, symmetric, num_tokens=num_tokens, **options)

  return split(shard, ranks)


def steps(symmetric, ranks, clamp=math.inf):
  """Returns the same, each step a kernel, and rows that XLA moves."""
  params = MegaMoeParams(
    arena=symmetric.arena,
    axis_name="e",
    handle=symmetric.handle,
    clamp=clamp,
    fast_math=True,
    options=Options(implementation="kernel"),
  )

  def shard(*args):
    return forward(checked_operands(*args, symmetric.arena), params).y

  return split(shard, ranks)


def counts_of(sizes, ranks, seed):
  random = np.random.default_rng(seed)
  counts = random.integers(0, sizes.tokens + 1, ranks).astype(np.int32)
  return jnp.asarray(counts)


@pytest.mark.parametrize(
  ("mma_type", "clamp"),
  [(FP8, None), (FP8, 0.5), (FP4, 0.5), (BF16, None), (BF16, 0.5)],
)
@pytest.mark.parametrize("sizes", CASES, ids=Sizes.id)
def test_bits_are_those_of_the_steps(sizes, mma_type, clamp):
  ranks = ranks_here()
  sizes = dataclasses.replace(
    sizes, top_k=min(sizes.top_k, sizes.experts * ranks)
  )
  layer = quantised(operands(sizes, ranks), mma_type)
  with buffer_of(sizes, ranks, mma_type) as symmetric:
    one = fused(symmetric, ranks, activation_clamp=clamp)
    other = steps(symmetric, ranks, math.inf if clamp is None else clamp)
    for seed in range(3):
      counts = counts_of(sizes, ranks, seed)
      expected = other(*layer, counts)
      poison_device_memory(1)
      assert_same_bits(one(*layer, counts), expected)
      symmetric.check_status()


def test_calls_with_changing_numbers_of_tokens_follow_each_other():
  ranks, sizes = ranks_here(), Sizes(96, 4, 2, 512, 256)
  layer = quantised(operands(sizes, ranks))
  with buffer_of(sizes, ranks) as symmetric:
    one, other = fused(symmetric, ranks), steps(symmetric, ranks)
    counts = [counts_of(sizes, ranks, seed) for seed in range(300)]
    # None is waited for before the next is launched.
    found = [one(*layer, count) for count in counts]
    jax.block_until_ready(found)
    symmetric.check_status()
    for i in range(0, len(counts), 30):
      assert_same_bits(found[i], other(*layer, counts[i]))


def test_layers_in_a_loop_have_the_bits_of_single_calls():
  ranks, sizes = ranks_here(), Sizes(64, 4, 2, 512, 256)
  x, *rest = operands(sizes, ranks)
  with buffer_of(sizes, ranks) as symmetric:

    def layer(x, *rest):
      with jd.options(implementation="kernel"):
        y = jd.fp8_mega_moe(x, *rest, symmetric)
      return x + y * jnp.bfloat16(0.125)

    def loop(x, *rest):
      return jax.lax.fori_loop(0, 6, lambda _, x: layer(x, *rest), x)

    found = split(loop, ranks)(x, *rest)
    single = split(layer, ranks)
    for _ in range(6):
      x = single(x, *rest)
    assert_same_bits(found, x)


@pytest.mark.parametrize(
  ("mma_type", "num_shared"), [(FP8, 0), (FP8, 2), (BF16, 2)]
)
def test_results_and_gradients_are_near_those_of_jax_numpy(
  mma_type, num_shared
):
  ranks, sizes = ranks_here(), Sizes(96, 4, 2, 512, 256)
  layer = operands(sizes, ranks, num_shared=num_shared)
  dy = jax.random.normal(jax.random.key(9), layer[0].shape, jnp.bfloat16)
  with buffer_of(sizes, ranks, mma_type, num_shared) as symmetric:

    def step(implementation, x, idx, weights, l1, l2, dy):
      def y(x, weights, l1, l2):
        with jd.options(implementation=implementation):
          return FUNCTIONS[mma_type](
            *(x, idx, weights, l1, l2, symmetric), activation_clamp=1.0
          )

      y, pull = jax.vjp(y, x, weights, l1, l2)
      return y, pull(dy)

    results = {
      name: split(functools.partial(step, name), ranks)(*layer, dy)
      for name in ("auto", "kernel", "reference")
    }
  jax.tree.map(assert_same_bits, results["auto"], results["kernel"])
  jax.tree.map(
    lambda a, b: assert_near(a, b, 2e-2),
    *(results[name] for name in ("kernel", "reference")),
  )


def test_fp4_results_and_gradients_are_near_those_of_jax_numpy():
  ranks, sizes = ranks_here(), Sizes(96, 4, 2, 512, 256)
  x, *rest = operands(sizes, ranks)
  _, *rest = quantised((x, *rest), FP4)
  dy = jax.random.normal(jax.random.key(9), x.shape, jnp.bfloat16)
  with buffer_of(sizes, ranks, FP4) as symmetric:

    def step(implementation, x, idx, weights, l1, l2, dy):
      def y(x, weights):
        with jd.options(implementation=implementation):
          return jd.fp8_fp4_mega_moe(x, idx, weights, l1, l2, symmetric)

      y, pull = jax.vjp(y, x, weights)
      return y, pull(dy)

    results = [
      split(functools.partial(step, name), ranks)(x, *rest, dy)
      for name in ("kernel", "reference")
    ]
  jax.tree.map(lambda a, b: assert_near(a, b, 2e-2), *results)


def test_rows_received_are_counted():
  ranks, sizes = ranks_here(), Sizes(33, 3, 2, 256, 128)
  layer = quantised(operands(sizes, ranks))
  with buffer_of(sizes, ranks) as symmetric:

    def shard(*args):
      *args, stats = args
      with jd.options(implementation="kernel"):
        return jd.fp8_mega_moe(
          *args, symmetric, cumulative_local_expert_recv_stats=stats
        )[1]

    start = jnp.arange(sizes.experts * ranks, dtype=jnp.int32) * 1000
    stats = split(shard, ranks)(*layer, start)
  chosen = np.asarray(layer[1])
  counts = np.bincount(chosen[chosen >= 0], minlength=sizes.experts * ranks)
  np.testing.assert_array_equal(stats, np.asarray(start) + counts)


def test_two_processes_have_the_bits_of_one_rank():
  # On one GPU their kernels wait for each other across its time slices.
  two_processes.run("tests.gpu.mega_moe_process")
