"""The parts of the model against NumPy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from moe import attention, config, expert_memory, experts, flops, mesh, model

_PRESET = config.PRESETS["micro"]
_CONFIG = _PRESET.model
_EXPERTS = PartitionSpec(mesh.EXPERT)


def _layer(rng, model_config=_CONFIG):
  layers = _abstract(model_config)["layers"]
  shapes = {name: x.shape[1:] for name, x in layers.items()}
  return {
    name: rng.standard_normal(shape).astype(np.float32) / 4
    for name, shape in shapes.items()
  }


@functools.cache
def _abstract(model_config):
  return model.abstract(model_config)


def _softmax(x):
  e = np.exp(x - x.max(axis=-1, keepdims=True))
  return e / e.sum(axis=-1, keepdims=True)


def _mixture(x, layer):
  """Returns the layer of experts, token by token in float64."""
  x, layer = x.astype(np.float64), {k: v * 1.0 for k, v in layer.items()}
  probabilities = _softmax(x @ layer["router"])
  y = np.zeros_like(x)
  for row, p, out in zip(x, probabilities, y, strict=True):
    chosen = np.argsort(-p)[:2]
    for e, weight in zip(chosen, p[chosen] / p[chosen].sum(), strict=True):
      gate, up = np.split(row @ layer["w_gate_up"][e], 2)
      out += weight * (gate / (1 + np.exp(-gate)) * up) @ layer["w_down"][e]
  return y


def _mixture_on(shape, layer, x, model_config, compute_dtype, buffer=None):
  """Returns the layer of experts on a mesh."""
  specs = {k: _EXPERTS if k[:2] == "w_" else PartitionSpec() for k in layer}
  specs |= {"w_qkv": PartitionSpec(), "w_out": PartitionSpec()}
  body = jax.shard_map(
    lambda x, layer: experts.mixture(
      x, layer, model_config, compute_dtype, buffer
    )[0],
    mesh=mesh.make(mesh.parse(shape)),
    in_specs=(mesh.BATCH, specs),
    out_specs=mesh.BATCH,
  )
  return np.asarray(jax.jit(body)(x, layer), np.float64)


@pytest.mark.parametrize("shape", ["data=1", "data=2,expert=2"])
def test_a_token_gets_the_weighted_sum_of_its_experts(shape):
  rng = np.random.default_rng(0)
  layer = _layer(rng)
  x = rng.standard_normal((24, 32)).astype(jnp.bfloat16)
  y = _mixture_on(shape, layer, x, _CONFIG, jnp.bfloat16)
  expected = _mixture(x, layer)
  assert np.abs(expected).mean() > 0.1
  np.testing.assert_allclose(y, expected, atol=0.03 * np.abs(expected).max())


def test_one_operation_in_fp8_is_the_same_layer():
  wide = dataclasses.replace(_CONFIG, d_model=128, expert_hidden=128)
  train = dataclasses.replace(_PRESET.train, batch_size=8, sequence_length=3)
  preset = dataclasses.replace(_PRESET, model=wide, train=train)
  shape, fp8 = "data=2,expert=2", jnp.float8_e4m3fn
  buffer = expert_memory.make(preset, mesh.make(mesh.parse(shape)), fp8)
  rng = np.random.default_rng(0)
  layer = _layer(rng, wide)
  x = rng.standard_normal((24, 128)).astype(jnp.bfloat16)
  y = _mixture_on(shape, layer, x, wide, fp8, buffer)
  expected = _mixture(x, layer)
  error = np.linalg.norm(y - expected) / np.linalg.norm(expected)
  # Each of x, two weights and h is rounded to 3 bits.
  assert 1e-3 < error < 0.08


def test_rotated_products_depend_on_the_distance_alone():
  rng = np.random.default_rng(0)
  q, k = rng.standard_normal((2, 1, 1, 1, 16)).astype(np.float32)
  q, k = (np.repeat(x, 20, axis=1) for x in (q, k))
  q, k = (attention.rotate(jnp.asarray(x), 100.0)[0, :, 0] for x in (q, k))
  products = np.asarray(q @ k.T)
  for distance in (0, 3, 10):
    diagonal = np.diagonal(products, distance)
    np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-4)
  assert products[0, 3] != pytest.approx(products[0, 0], rel=1e-2)


def test_a_norm_has_a_mean_square_of_one():
  x = np.random.default_rng(0).standard_normal((4, 32)).astype(np.float32)
  weight = np.arange(32, dtype=np.float32)
  y = model.rms_norm(7 * jnp.asarray(x), jnp.asarray(weight), 1e-6)
  expected = x / np.sqrt((x**2).mean(axis=-1, keepdims=True)) * weight
  np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_parameters_and_operations_are_counted():
  large = config.PRESETS["h200"].model
  shapes = jax.tree.leaves(model.abstract(large))
  stored = sum(x.size for x in shapes if x.ndim > 1)
  norms = 2 * large.num_layers * large.d_model
  assert flops.num_parameters(large, large.num_experts) == stored - norms
  # 8 layers of 4 x 2048 x 2048 and twice 3 x 2048 x 2048, and of the head;
  # attention is 2048 x 1024 for each of 8 layers.
  weights = 8 * (10 * 2048**2 + 2048 * 8) + 256 * 2048
  assert flops.flops_per_token(large, 1024) == 6 * (weights + 8 * 2048 * 1024)
