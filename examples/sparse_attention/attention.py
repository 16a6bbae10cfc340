"""Attention to the keys that the indexer chose, and to no others."""

import jax
import jax.numpy as jnp
from flax import nnx

from sparse_attention import indexer, pages
from sparse_attention.config import ModelConfig
from sparse_attention.indexer import Indexer, Ranges
from sparse_attention.pages import Memory, Pages
from sparse_attention.rotary import rotate

# Tokens whose keys are gathered at once.
_TOKENS_AT_ONCE = 128


class SparseAttention(nnx.Module):
  """Queries of many heads, one key and one value, and an indexer."""

  def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
    d, heads, size = config.d_model, config.num_heads, config.head_dim
    self.config = config
    shared = {"use_bias": False, "dtype": jnp.bfloat16, "rngs": rngs}
    self.to_queries = nnx.Linear(d, heads * size, **shared)
    self.to_key_value = nnx.Linear(d, 2 * size, **shared)
    self.to_out = nnx.Linear(heads * size, d, **shared)
    self.indexer = Indexer(config, rngs=rngs)

  def remember(self, x: jax.Array, positions: jax.Array) -> Memory:
    """Returns what is kept of tokens x `[tokens, d_model]`."""
    key, value = jnp.split(self.to_key_value(x), 2, axis=-1)
    # The indexer learns from its own loss alone.
    index_keys = self.indexer.keys(jax.lax.stop_gradient(x), positions)
    key = rotate(key, positions, self.config.rotary_base)
    return Memory(index_keys, key, value)

  def __call__(
    self, x: jax.Array, positions: jax.Array, ranges: Ranges
  ) -> tuple[jax.Array, jax.Array, Memory]:
    """Returns what tokens find among themselves, and what is kept of them.

    Between both the indexer's loss.

    Args:
      x: `[tokens, d_model]`.
      positions: int32 `[tokens]`, in their sequences.
      ranges: of the tokens.
    """
    memory = self.remember(x, positions)
    choice = self.indexer.choose(
      jax.lax.stop_gradient(x), positions, memory.index_keys, ranges
    )
    q = self._queries(x, positions)
    y, probabilities = attend(q, memory.keys, memory.values, choice.keys)
    out = self.to_out(y.reshape(len(x), -1))
    return out, indexer.loss(choice, probabilities), memory

  def decode(
    self, x: jax.Array, kept: Pages, table: jax.Array, lengths: jax.Array
  ) -> tuple[jax.Array, Pages]:
    """Returns what new tokens find in pages, and pages with these tokens.

    Args:
      x: `[sequences, d_model]`, a token of each.
      kept: of the tokens before.
      table: `pages.Cache.table`.
      lengths: int32 `[sequences]`, tokens before.
    """
    rows = pages.rows_of(table, lengths[:, None], kept.page)[:, 0]
    kept = pages.written(kept, self.remember(x, lengths), rows)
    choice = self.indexer.choose_in_pages(x, kept.index, table, lengths + 1)
    chosen = pages.rows_of(table, choice.keys, kept.page)
    chosen = jnp.where(choice.keys >= 0, chosen, -1)
    q = self._queries(x, lengths)
    y, _ = attend(q, kept.keys, kept.values, chosen)
    return self.to_out(y.reshape(len(x), -1)), kept

  def _queries(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    heads, size = self.config.num_heads, self.config.head_dim
    q = self.to_queries(x).reshape(-1, heads, size)
    return rotate(q, positions, self.config.rotary_base)


def attend(
  q: jax.Array, keys: jax.Array, values: jax.Array, chosen: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns softmax(q . k / sqrt(d)) . v over the chosen keys of each token.

  Keys are gathered for some tokens at a time, in the backward pass again.

  Args:
    q: `[tokens, heads, d]`.
    keys: `[keys, d]`.
    values: `[keys, d]`.
    chosen: int32 `[tokens, chosen]`, -1 for none; each token has one or more.

  Returns:
    `[tokens, heads, d]` bfloat16, and the probabilities of the chosen keys,
    float32 `[tokens, chosen]`, mean of the heads.
  """
  scale = q.shape[-1] ** -0.5

  @jax.checkpoint
  def one(token: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    q, chosen = token
    # Row 0 where there is none, with no weight.
    rows = jnp.maximum(chosen, 0)
    scores = jnp.matmul(q, keys[rows].T, preferred_element_type=jnp.float32)
    scores = jnp.where(chosen >= 0, scores * scale, -1e30)
    p = jax.nn.softmax(scores, axis=-1)
    y = jnp.matmul(p.astype(values.dtype), values[rows])
    return y, p.mean(axis=0)

  return jax.lax.map(one, (q, chosen), batch_size=_TOKENS_AT_ONCE)
