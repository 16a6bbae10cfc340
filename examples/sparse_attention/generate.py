"""Going on with a text, a byte at a time."""

import jax
import jax.numpy as jnp
from flax import nnx

from sparse_attention import cache
from sparse_attention.cache import Cache
from sparse_attention.model import Model


@nnx.jit(static_argnames="room")
def prefill(
  model: Model, prompts: jax.Array, room: int
) -> tuple[jax.Array, Cache]:
  """Returns the scores after uint8 prompts `[batch, length]`, and a cache."""
  out = model(prompts)
  return out.scores[:, -1], cache.of_prompt(out.memories, len(prompts), room)


@nnx.jit(static_argnames="num_bytes")
def decode(
  model: Model, scores: jax.Array, kept: Cache, length: int, num_bytes: int
) -> tuple[jax.Array, jax.Array]:
  """Returns the likeliest bytes after a prompt and the scores they had.

  Args:
    model: the model.
    scores: float32 `[batch, vocabulary]`, after the prompts.
    kept: a cache with the prompts and room for `num_bytes` more.
    length: of each prompt.
    num_bytes: how many are wanted.

  Returns:
    uint8 `[batch, num_bytes]` and float32 `[batch, num_bytes, vocabulary]`.
  """
  graph, state = nnx.split(model)
  lengths = jnp.full(len(scores), length, jnp.int32)

  def step(
    carry: tuple[jax.Array, jax.Array, Cache], _: None
  ) -> tuple[tuple[jax.Array, jax.Array, Cache], tuple[jax.Array, jax.Array]]:
    scores, lengths, kept = carry
    tokens = scores.argmax(axis=-1).astype(jnp.uint8)
    after, kept = nnx.merge(graph, state).decode(tokens, lengths, kept)
    return (after, lengths + 1, kept), (tokens, scores)

  _, (tokens, found) = jax.lax.scan(
    step, (scores, lengths, kept), length=num_bytes
  )
  return tokens.T, found.swapaxes(0, 1)
