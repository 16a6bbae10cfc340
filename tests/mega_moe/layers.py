"""Layers of experts on fake devices, and operands for them."""

import functools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jax_deepgemm
from tests.mega_moe.mega_moe_oracle import Layer

EXPERTS, TOP_K, HIDDEN, INTERMEDIATE = 8, 3, 256, 128
TOKENS = 48  # Of all ranks.
FP8, FP4, BF16 = "fp8xfp8", "fp8xfp4", "bf16xbf16"
FUNCTIONS = {
  FP8: jax_deepgemm.fp8_mega_moe,
  FP4: jax_deepgemm.fp8_fp4_mega_moe,
  BF16: jax_deepgemm.bf16_mega_moe,
}


def operands(seed=0, tokens=TOKENS):
  """Returns operands whose rows differ by powers of two, and dy."""
  random = np.random.default_rng(seed)

  def normal(*shape):
    return random.standard_normal(shape)

  def bfloat16(x):
    return x.astype(ml_dtypes.bfloat16)

  x = normal(tokens, HIDDEN) * np.exp2(random.integers(-2, 3, (tokens, 1)))
  idx = np.argsort(random.random((tokens, EXPERTS)), axis=1)[:, :TOP_K]
  weights = normal(tokens, TOP_K).astype(np.float32)
  l1 = normal(EXPERTS, 2 * INTERMEDIATE, HIDDEN) / np.sqrt(HIDDEN)
  l2 = normal(EXPERTS, HIDDEN, INTERMEDIATE) / np.sqrt(INTERMEDIATE)
  layer = Layer(
    bfloat16(x), idx.astype(np.int32), weights, bfloat16(l1), bfloat16(l2)
  )
  return layer, bfloat16(normal(tokens, HIDDEN))


def buffer(ranks, tokens=TOKENS, mma_type=FP8, num_shared=0):
  """Returns a buffer for `tokens` tokens of all ranks."""
  sizes = (EXPERTS, tokens // ranks, TOP_K, HIDDEN, INTERMEDIATE)
  return jax_deepgemm.get_symm_buffer_for_mega_moe(
    *(mesh(ranks), "e", *sizes),
    mma_type=mma_type,
    num_shared_experts=num_shared,
  )


def mesh(*shape, names="e"):
  """Returns a mesh of the first devices, with axes of these sizes."""
  count = int(np.prod(shape))
  return jax.make_mesh(
    shape,
    tuple(names),
    axis_types=(AxisType.Auto,) * len(shape),
    devices=jax.devices()[:count],
  )


def over_ranks(f, ranks, check_vma=True, in_specs=None):
  """Returns f of each rank's part of every argument."""
  return jax.shard_map(
    f,
    mesh=mesh(ranks),
    in_specs=P("e") if in_specs is None else in_specs,
    out_specs=P("e"),
    check_vma=check_vma,
  )


def layer_of(ranks, mma_type=FP8, check_vma=True, tokens=TOKENS, **options):
  """Returns the layer as a function of the operands of all ranks."""
  symmetric = buffer(ranks, tokens, mma_type)
  f = functools.partial(FUNCTIONS[mma_type], sym_buffer=symmetric, **options)
  return over_ranks(lambda *args: f(*args), ranks, check_vma)


def cast_to_fp4(w):
  """Returns a weight as `fp8_fp4_mega_moe` takes it."""
  return jax_deepgemm.per_token_cast_to_fp4(
    w, use_ue8m0=True, gran_k=32, use_packed_ue8m0=True
  )


def with_gradients(layer):
  """Returns (y, gradients) of a layer as a function of operands and dy."""

  def both(x, idx, weights, l1, l2, dy):
    y, pull = jax.vjp(
      lambda x, w, a, b: layer(x, idx, w, a, b), x, weights, l1, l2
    )
    return y, pull(dy)

  return jax.jit(both)


def arrays(layer):
  """Returns the operands as JAX arrays."""
  return tuple(map(jnp.asarray, layer))


def assert_near(found, expected, tolerance):
  """Fails unless the distance is within `tolerance` of the expected's norm."""
  found, expected = np.asarray(found, float), np.asarray(expected, float)
  assert found.shape == expected.shape
  error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
  assert error <= tolerance, error


def assert_same_bits(found, expected):
  found, expected = np.asarray(found), np.asarray(expected)
  assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
  np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))
