"""The example of sparse attention: its parts, and that it trains and writes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import train_sparse_attention
from benchmarks import kernel_programs
from sparse_attention import attention, generate, indexer, rotary
from sparse_attention.config import PRESETS
from sparse_attention.indexer import Choice
from sparse_attention.model import Model

_PRESET = PRESETS["micro"]
_CONFIG = _PRESET.model


@functools.cache
def _model():
  """Returns a model in which attention has a say."""
  model = Model(_CONFIG, rngs=nnx.Rngs(0))
  for block in model.blocks:
    kernel = block.attention.to_out.kernel
    kernel[...] = 16 * kernel[...]
  return model


def _tokens(batch, length):
  random = np.random.default_rng(0)
  return random.integers(0, 256, (batch, length)).astype(np.uint8)


@pytest.fixture(autouse=True)
def _promotion():
  # Flax and optax rely on implicit promotion.
  with jax.numpy_dtype_promotion("standard"):
    yield


def test_attention_is_a_softmax_over_what_was_chosen():
  random = np.random.default_rng(0)
  q = random.standard_normal((3, 2, 8)).astype(np.float32)
  keys, values = random.standard_normal((2, 9, 8)).astype(np.float32)
  chosen = np.array([[8, 2, 5], [0, -1, -1], [3, 3, -1]], np.int32)
  y, p = jax.jit(attention.attend)(q, keys, values, chosen)
  for i in range(3):
    rows = chosen[i][chosen[i] >= 0]
    scores = np.exp(q[i] @ keys[rows].T / np.sqrt(8))
    exact = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(y[i], exact @ values[rows], rtol=1e-4)
    np.testing.assert_allclose(p[i][: len(rows)], exact.mean(0), rtol=1e-4)
    assert not np.any(p[i][len(rows) :])


def test_the_indexers_loss_is_zero_where_scores_are_as_attention_is():
  p = np.array([[0.5, 0.25, 0.25], [0.9, 0.1, 0.0]], np.float32)
  keys = np.array([[4, 1, 2], [7, 3, -1]], np.int32)
  scores = np.where(keys < 0, -np.inf, np.log(np.maximum(p, 1e-9)) + 3)
  gradient = jax.grad(
    lambda scores, p: indexer.loss(Choice(scores, keys), p), (0, 1)
  )
  assert indexer.loss(Choice(jnp.asarray(scores), keys), p) < 1e-6
  by_scores, by_p = gradient(jnp.zeros((2, 3)), p)
  # Scores move to where attention has more, and attention does not follow.
  assert by_scores[0, 0] < 0 < by_scores[0, 1]
  assert by_scores[1, 0] < 0 < by_scores[1, 1]
  assert by_scores[1, 2] == 0
  assert not np.any(by_p)


def test_rotated_products_depend_on_the_distance_alone():
  x = np.random.default_rng(0).standard_normal((2, 1, 16)).astype(np.float32)
  place = jnp.arange(20)
  q, k = (rotary.rotate(jnp.repeat(y, 20, 0), place, 100.0) for y in x)
  products = np.asarray(q @ k.T)
  for distance in (0, 3, 10):
    diagonal = np.diagonal(products, distance)
    np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-4)


def test_decoding_finds_what_a_whole_sequence_does():
  # More tokens than a token attends to, so that choices matter; the last ones
  # are in a second page.
  tokens = _tokens(2, 35)
  whole = nnx.jit(lambda model, tokens: model(tokens).scores)
  expected = np.asarray(whole(_model(), tokens))
  scores, kept = generate.prefill(_model(), tokens[:, :30], 40)
  assert kept.table.tolist() == [[0, 2], [1, 3]]
  np.testing.assert_allclose(scores, expected[:, 29], atol=0.01)
  decode = nnx.jit(lambda model, *x: model.decode(*x))
  for i in range(30, 35):
    scores, kept = decode(_model(), tokens[:, i], kept)
    np.testing.assert_allclose(scores, expected[:, i], atol=0.01)
  assert np.abs(expected[:, 30:]).max() > 0.3
  # The loop does the same.
  scores, kept = generate.prefill(_model(), tokens[:, :30], 40)
  found, seen = generate.decode(_model(), scores, kept, 3)
  np.testing.assert_array_equal(seen[:, 0], scores)
  assert found[:, 0].tolist() == scores.argmax(axis=1).tolist()


def test_the_loss_falls(capsys):
  model, losses = train_sparse_attention.run(_PRESET, seed=0)
  assert losses[0].byte == pytest.approx(np.log(256), rel=0.05)
  # Batches are small, and the library differs from Python to Python.
  assert np.mean([x.byte for x in losses[-10:]]) < 4
  first, last = ([x.index for x in part] for part in (losses[:5], losses[-10:]))
  assert np.mean(last) < 0.8 * np.mean(first)
  assert "--- written" in train_sparse_attention.write(model, _PRESET, 3)
  assert "indexer" in capsys.readouterr().err


def test_kernels_choose_on_a_gpu():
  graph, state = nnx.split(_model())
  num_layers = _CONFIG.num_layers

  def kernels(f, *arrays):
    lowered = kernel_programs.lowered_for(
      jax.jit(lambda state, *x: f(nnx.merge(graph, state), *x)),
      *(state, *arrays),
      device="NVIDIA H200",
    )
    return [x["kernel"] for x in kernel_programs.launches(lowered)]

  casts = ["sm90_cast_rows"] * 2
  text = kernels(lambda model, x: model(x).scores, _tokens(2, 30))
  assert text == [*casts, "sm90_fp8_mqa_logits", "sm90_row_topk"] * num_layers
  _, kept = generate.prefill(_model(), _tokens(2, 30), 40)
  last = _tokens(2, 1)[:, 0]
  token = kernels(lambda model, *x: model.decode(*x)[0], last, kept)
  layer = [*casts, "sm90_fp8_paged_mqa_logits", "sm90_row_topk"]
  assert token[: len(layer)] == layer
  assert set(token) == set(layer)
