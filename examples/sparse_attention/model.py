"""The language model: bytes in, scores of the next byte out."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from sparse_attention.attention import SparseAttention
from sparse_attention.config import ModelConfig
from sparse_attention.indexer import Ranges
from sparse_attention.pages import Cache, Memory

# Of the embedding and the last product: the first guesses are even.
_INITIAL = nnx.initializers.normal(0.02)


class Forward(NamedTuple):
  """What the model computes of whole sequences.

  Attributes:
    scores: float32 `[batch, sequence, vocabulary]`.
    index_loss: mean over the layers.
    memories: of each layer, of all tokens.
  """

  scores: jax.Array
  index_loss: jax.Array
  memories: list[Memory]


class Block(nnx.Module):
  """Attention and an MLP, each added to the residual stream."""

  def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
    d, hidden = config.d_model, config.mlp_hidden
    shared = {"use_bias": False, "dtype": jnp.bfloat16, "rngs": rngs}
    norm = {"dtype": jnp.bfloat16, "rngs": rngs}
    self.attention_norm = nnx.RMSNorm(d, **norm)
    self.attention = SparseAttention(config, rngs=rngs)
    self.mlp_norm = nnx.RMSNorm(d, **norm)
    self.up = nnx.Linear(d, hidden, **shared)
    self.down = nnx.Linear(hidden, d, **shared)

  def mlp(self, x: jax.Array) -> jax.Array:
    """Returns what the MLP adds to tokens x."""
    return self.down(jax.nn.gelu(self.up(self.mlp_norm(x))))


class Model(nnx.Module):
  """Blocks between an embedding and a product with the vocabulary."""

  def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
    d = config.d_model
    self.config = config
    self.embedding = nnx.Embed(
      config.vocabulary,
      d,
      dtype=jnp.bfloat16,
      embedding_init=_INITIAL,
      rngs=rngs,
    )
    blocks = [Block(config, rngs=rngs) for _ in range(config.num_layers)]
    self.blocks = nnx.List(blocks)
    self.norm = nnx.RMSNorm(d, dtype=jnp.bfloat16, rngs=rngs)
    self.head = nnx.Linear(
      d,
      config.vocabulary,
      use_bias=False,
      dtype=jnp.bfloat16,
      kernel_init=_INITIAL,
      rngs=rngs,
    )

  def __call__(self, tokens: jax.Array) -> Forward:
    """Returns the scores of each next byte of uint8 `[batch, sequence]`.

    All sequences lie one after the other in one array of keys, in which each
    token has its range: one call of the indexer for all.
    """
    batch, length = tokens.shape
    first = jnp.arange(batch, dtype=jnp.int32)[:, None] * length
    place = jnp.arange(length, dtype=jnp.int32)
    positions = jnp.broadcast_to(place, tokens.shape).reshape(-1)
    starts = jnp.broadcast_to(first, tokens.shape).reshape(-1)
    ranges = Ranges(starts, starts + positions + 1, length)
    x = self.embedding(tokens.reshape(-1).astype(jnp.int32))
    losses, memories = [], []
    for block in self.blocks:
      h = block.attention_norm(x)
      y, loss, memory = block.attention(h, positions, ranges)
      x += y
      x += block.mlp(x)
      losses.append(loss)
      memories.append(memory)
    scores = self._scores(x).reshape(batch, length, -1)
    return Forward(scores, jnp.stack(losses).mean(), memories)

  def decode(self, tokens: jax.Array, kept: Cache) -> tuple[jax.Array, Cache]:
    """Returns the scores of the byte after each token, and the longer cache.

    Args:
      tokens: uint8 `[sequences]`, the next one of each.
      kept: of the tokens before; has room for one more.
    """
    x = self.embedding(tokens.astype(jnp.int32))
    layers = []
    for block, layer in zip(self.blocks, kept.layers, strict=True):
      h = block.attention_norm(x)
      y, layer = block.attention.decode(h, layer, kept.table, kept.lengths)
      x += y
      x += block.mlp(x)
      layers.append(layer)
    kept = kept._replace(layers=layers, lengths=kept.lengths + 1)
    return self._scores(x), kept

  def _scores(self, x: jax.Array) -> jax.Array:
    return self.head(self.norm(x)).astype(jnp.float32)
