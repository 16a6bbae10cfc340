"""Going on with a text, a byte at a time."""

import jax
import jax.numpy as jnp
from flax import nnx

from sparse_attention import pages
from sparse_attention.model import Model
from sparse_attention.pages import Cache


@nnx.jit(static_argnames="room")
def prefill(
  model: Model, prompts: jax.Array, room: int
) -> tuple[jax.Array, Cache]:
  """Returns the scores after uint8 prompts `[batch, length]`, and a cache.

  Args:
    model: the model.
    prompts: of one length.
    room: bytes that a sequence has room for in the cache, prompt included.
  """
  out = model(prompts)
  page = model.config.page
  kept = pages.of_prompts(out.memories, len(prompts), room, page)
  return out.scores[:, -1], kept


@nnx.jit(static_argnames="num_bytes")
def decode(
  model: Model, scores: jax.Array, kept: Cache, num_bytes: int
) -> tuple[jax.Array, jax.Array]:
  """Returns the likeliest bytes after a prompt and the scores they had.

  Args:
    model: the model.
    scores: float32 `[batch, vocabulary]`, after the prompts.
    kept: a cache with the prompts and room for `num_bytes` more.
    num_bytes: how many are wanted.

  Returns:
    uint8 `[batch, num_bytes]` and float32 `[batch, num_bytes, vocabulary]`.
  """
  graph, state = nnx.split(model)

  def step(
    carry: tuple[jax.Array, Cache], _: None
  ) -> tuple[tuple[jax.Array, Cache], tuple[jax.Array, jax.Array]]:
    scores, kept = carry
    tokens = scores.argmax(axis=-1).astype(jnp.uint8)
    after = nnx.merge(graph, state).decode(tokens, kept)
    return after, (tokens, scores)

  _, (tokens, found) = jax.lax.scan(step, (scores, kept), length=num_bytes)
  return tokens.T, found.swapaxes(0, 1)
