"""What decoding keeps of the tokens so far: room for each sequence.

The indexer's keys are kept as FP8 values with a scale each, 132 bytes for 128
of them: a step reads those of all tokens, and of keys and values only what was
chosen.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from sparse_attention.attention import Memory
from sparse_attention.indexer import Ranges, quantized


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
  """Memories of all layers.

  Attributes:
    memories: of each layer; sequence b has rows b * room to (b + 1) * room.
    room: tokens of a sequence, at most.
  """

  memories: list[Memory]
  room: int = dataclasses.field(metadata={"static": True})

  def ranges(self, lengths: jax.Array) -> Ranges:
    """Returns what the next token of each sequence looks at, itself included.

    Args:
      lengths: int32 `[batch]`, tokens before it, fewer than there is room for.
    """
    first = jnp.arange(len(lengths), dtype=jnp.int32) * self.room
    return Ranges(first, first + lengths + 1, self.room)

  def replaced(self, memories: Sequence[Memory]) -> "Cache":
    """Returns the cache with other memories."""
    return dataclasses.replace(self, memories=list(memories))


def of_prompt(memories: Sequence[Memory], batch: int, room: int) -> Cache:
  """Returns a cache that begins with the tokens of whole sequences.

  Args:
    memories: of `Forward`, of prompts of one length.
    batch: how many prompts.
    room: tokens of a sequence, prompt included.
  """

  def spread(x: jax.Array) -> jax.Array:
    x = x.reshape(batch, -1, *x.shape[1:])
    missing = room - x.shape[1]
    x = jnp.pad(x, [(0, 0), (0, missing), *[(0, 0)] * (x.ndim - 2)])
    return x.reshape(batch * room, *x.shape[2:])

  kept = [jax.tree.map(spread, stored(memory)) for memory in memories]
  return Cache(kept, room)


def stored(memory: Memory) -> Memory:
  """Returns a memory with the indexer's keys in FP8."""
  return memory._replace(index_keys=quantized(memory.index_keys))


def written(memory: Memory, new: Memory, rows: jax.Array) -> Memory:
  """Returns a memory with one more token of each sequence, at these rows."""
  return jax.tree.map(lambda x, y: x.at[rows].set(y), memory, new)
