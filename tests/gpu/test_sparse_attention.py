"""The example of sparse attention with the kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jax_deepgemm as jd
import train_sparse_attention
from moe import corpus
from sparse_attention import generate
from sparse_attention.config import PRESETS
from sparse_attention.indexer import Indexer, Ranges

pytestmark = pytest.mark.gpu

_PRESET = PRESETS["tiny"]


@pytest.fixture(autouse=True)
def _implicit_promotion():
  """Flax and optax rely on it."""
  with jax.numpy_dtype_promotion("standard"):
    yield


def test_kernels_and_reference_choose_the_same_keys():
  length = 2000
  indexer = Indexer(_PRESET.model, rngs=nnx.Rngs(0))
  x = jax.random.normal(jax.random.key(0), (length, 128), jnp.bfloat16)
  positions = jnp.arange(length, dtype=jnp.int32)
  ranges = Ranges(jnp.zeros(length, jnp.int32), positions + 1, length)

  def choose(implementation):
    # One trace each: the options are read while tracing.
    f = nnx.jit(
      lambda indexer, x: indexer.choose(
        x, positions, indexer.keys(x, positions), ranges
      )
    )
    with jd.options(implementation=implementation):
      return jax.tree.map(np.asarray, f(indexer, x))

  found, wanted = choose("kernel"), choose("reference")
  # Tensor cores keep about 14 bits: keys at the edge may change places.
  np.testing.assert_array_equal(found.keys < 0, wanted.keys < 0)
  finite = np.isfinite(wanted.scores)
  # XLA's products before them round alike, but not its divisions: an FP8 code
  # that is another one moves a score by 1 % now and then.
  far = np.abs(found.scores[finite] - wanted.scores[finite]) > 2e-3
  assert np.mean(far) < 0.01
  same = [
    len(np.intersect1d(x, y)) / len(np.unique(y))
    for x, y in zip(found.keys, wanted.keys, strict=True)
  ]
  assert np.mean(same) > 0.99


def test_it_trains_and_decodes_as_it_reads(capsys):
  model, losses = train_sparse_attention.run(_PRESET, seed=0)
  assert losses[0].byte == pytest.approx(np.log(256), rel=0.05)
  # On a CPU 2.24 on validation text.
  assert train_sparse_attention.validate(model, _PRESET).byte < 2.6
  tokens = corpus.read().validation[None, 1000:1200]
  whole = nnx.jit(lambda model, tokens: model(tokens).scores)(model, tokens)
  scores, kept = generate.prefill(model, tokens[:, :190], 256)
  decode = nnx.jit(lambda model, *x: model.decode(*x))
  for i in range(190, 200):
    scores, kept = decode(model, tokens[:, i], kept)
    found, wanted = map(jax.nn.softmax, (scores[0], whole[0, i]))
    np.testing.assert_allclose(found, wanted, atol=0.05)
  capsys.readouterr()
