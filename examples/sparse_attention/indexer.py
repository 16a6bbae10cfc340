"""The indexer: which keys a token attends to. The file that calls kernels.

A token scores a key by `scale * sum_h weight[h] * relu(q[h] . k)`, products in
FP8, and attends to the keys with the largest scores. Queries and weights come
from the token, and each token has one key of a few bytes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

import jax_deepgemm
from sparse_attention.config import ModelConfig
from sparse_attention.rotary import rotate


class Ranges(NamedTuple):
  """What tokens may look at, among keys of many sequences.

  Attributes:
    starts: int32 `[tokens]`, the first key of a token's sequence.
    ends: int32 `[tokens]`, one past the token's own.
    longest: no range is longer.
  """

  starts: jax.Array
  ends: jax.Array
  longest: int


class Choice(NamedTuple):
  """Keys of each token, those with the largest scores first.

  Attributes:
    scores: float32 `[tokens, chosen]`.
    keys: int32 `[tokens, chosen]`, -1 where a token has no more.
  """

  scores: jax.Array
  keys: jax.Array


class Indexer(nnx.Module):
  """Makes queries and keys, and chooses."""

  def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
    d, heads, size = config.d_model, config.index_heads, config.index_dim
    self.config = config
    shared = {"use_bias": False, "dtype": jnp.bfloat16, "rngs": rngs}
    self.to_queries = nnx.Linear(d, heads * size, **shared)
    self.to_key = nnx.Linear(d, size, **shared)
    self.to_weights = nnx.Linear(d, heads, **shared)

  def keys(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Returns a key for each token, `[tokens, index_dim]` bfloat16."""
    return rotate(self.to_key(x), positions, self.config.rotary_base)

  def choose(
    self, x: jax.Array, positions: jax.Array, keys: jax.Array, ranges: Ranges
  ) -> Choice:
    """Returns which keys each token attends to, in whole texts.

    Args:
      x: `[tokens, d_model]`.
      positions: int32 `[tokens]`, in their sequences.
      keys: of all sequences, `[keys, index_dim]`.
      ranges: of the tokens.
    """
    q, weights = self._queries(x, positions)
    num_chosen = min(self.config.num_chosen, ranges.longest)
    return Choice(
      *jax_deepgemm.mqa_topk(
        q, keys, weights, ranges.starts, ranges.ends, num_chosen, ranges.longest
      )
    )

  def choose_in_pages(
    self, x: jax.Array, pages: jax.Array, table: jax.Array, lengths: jax.Array
  ) -> Choice:
    """Returns which keys the last token of each sequence attends to.

    The same ones as `choose`: keys and queries are cast in the same way.

    Args:
      x: `[sequences, d_model]`, the last tokens.
      pages: `pages.Pages.index`.
      table: `pages.Cache.table`.
      lengths: int32 `[sequences]`, tokens of each, the last one included.
    """
    q, weights = self._queries(x, lengths - 1)
    num_tokens, heads, size = q.shape
    values, scales = quantized(q.reshape(-1, size))
    weights *= scales.reshape(weights.shape)
    num_chosen = min(self.config.num_chosen, table.shape[1] * pages.shape[1])
    return Choice(
      *jax_deepgemm.paged_mqa_topk(
        values.reshape(num_tokens, 1, heads, size),
        pages,
        weights,
        lengths[:, None],
        table,
        num_chosen,
      )
    )

  def _queries(
    self, x: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns queries `[tokens, heads, index_dim]`, and weights of heads."""
    heads, size = self.config.index_heads, self.config.index_dim
    q = self.to_queries(x).reshape(-1, heads, size)
    weights = self.to_weights(x).astype(jnp.float32) * (heads * size) ** -0.5
    return rotate(q, positions, self.config.rotary_base), weights


def quantized(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns FP8 values `[vectors, d]` and a scale for each vector."""
  values, scales = jax_deepgemm.per_token_cast_to_fp8(vectors)
  return values, scales[:, 0]


def loss(choice: Choice, probabilities: jax.Array) -> jax.Array:
  """Returns how far the scores are from attention: KL divergence, mean.

  Args:
    choice: the chosen keys and their scores.
    probabilities: float32 `[tokens, chosen]` that attention gives to them, mean
      of its heads. No gradient flows there: scores follow attention.
  """
  is_there = choice.keys >= 0
  target = jax.lax.stop_gradient(probabilities)
  scores = jnp.where(is_there, choice.scores, -1e30)
  log_scores = jax.nn.log_softmax(scores, axis=-1)
  log_target = jnp.log(jnp.maximum(target, 1e-20))
  divergence = jnp.where(is_there, target * (log_target - log_scores), 0.0)
  return divergence.sum(axis=-1).mean()
