"""What decoding keeps of the tokens so far: pages of keys.

A page has room for 32 or 64 tokens of one sequence. A table says which pages a
sequence has, in any order, so that sequences of any lengths share one pool. Of
the indexer's keys a page has FP8 values and then their scales, as bytes, which
is how `paged_mqa_topk` reads them: a step reads those of all tokens, and of
keys and values only what was chosen.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sparse_attention.indexer import quantized

_SCALE_BYTES = 4


class Memory(NamedTuple):
  """What is kept of tokens for those that look at them later.

  Attributes:
    index_keys: of the indexer, `[tokens, index_dim]` bfloat16.
    keys: `[tokens, head_dim]` bfloat16, one for all heads.
    values: `[tokens, head_dim]` bfloat16.
  """

  index_keys: jax.Array
  keys: jax.Array
  values: jax.Array


class Pages(NamedTuple):
  """The pool of a layer.

  Attributes:
    index: uint8 `[pages, page, 1, index_dim + 4]`, of the indexer.
    keys: `[pages * page, head_dim]` bfloat16, one for all heads.
    values: `[pages * page, head_dim]` bfloat16.
  """

  index: jax.Array
  keys: jax.Array
  values: jax.Array

  @property
  def page(self) -> int:
    """Tokens of a page."""
    return self.index.shape[1]


class Cache(NamedTuple):
  """What is kept of some sequences.

  Attributes:
    layers: the pool of each layer; a page has one number in all of them.
    table: int32 `[sequences, pages]`, the pages of each sequence in order.
    lengths: int32 `[sequences]`, tokens that are there.
  """

  layers: list[Pages]
  table: jax.Array
  lengths: jax.Array


def of_prompts(
  memories: Sequence[Memory], batch: int, room: int, page: int
) -> Cache:
  """Returns a cache with the tokens of prompts of one length.

  Args:
    memories: of each layer, of all prompts.
    batch: how many prompts.
    room: tokens that a sequence shall have room for, prompt included.
    page: tokens of a page.
  """
  length = len(memories[0].keys) // batch
  num_pages = -(-room // page)
  # Pages are dealt out in turn: those of a sequence are no neighbours.
  table = jnp.arange(num_pages * batch, dtype=jnp.int32)
  table = table.reshape(num_pages, batch).T
  places = jnp.arange(length, dtype=jnp.int32)
  rows = rows_of(table, jnp.broadcast_to(places, (batch, length)), page)
  layers = [
    written(_empty(memory, num_pages * batch, page), memory, rows.reshape(-1))
    for memory in memories
  ]
  return Cache(layers, table, jnp.full(batch, length, jnp.int32))


def rows_of(table: jax.Array, places: jax.Array, page: int) -> jax.Array:
  """Returns the rows of a pool in which tokens of sequences are.

  Args:
    table: of a cache.
    places: int32 `[sequences, tokens]`, in their sequences; -1 is row 0 of the
      sequence's first page.
    page: tokens of a page.
  """
  places = jnp.maximum(places, 0)
  pages = jnp.take_along_axis(table, places // page, axis=1)
  return pages * page + places % page


def written(pages: Pages, memory: Memory, rows: jax.Array) -> Pages:
  """Returns the pool with tokens in these rows, int32 `[tokens]`."""
  values, scales = quantized(memory.index_keys)
  codes = jax.lax.bitcast_convert_type(values, jnp.uint8)
  scales = jax.lax.bitcast_convert_type(scales, jnp.uint8)
  page, size = pages.page, codes.shape[1]
  number, place = rows[:, None] // page, rows[:, None] % page
  # Keys of a page lie in front of its scales.
  flat = pages.index.reshape(len(pages.index), -1)
  columns = place * size + jnp.arange(size)
  flat = flat.at[number, columns].set(codes)
  columns = page * size + place * _SCALE_BYTES + jnp.arange(_SCALE_BYTES)
  flat = flat.at[number, columns].set(scales)
  return Pages(
    flat.reshape(pages.index.shape),
    pages.keys.at[rows].set(memory.keys),
    pages.values.at[rows].set(memory.values),
  )


def _empty(memory: Memory, num_pages: int, page: int) -> Pages:
  size = memory.index_keys.shape[1] + _SCALE_BYTES
  keys, values = (
    jnp.zeros((num_pages * page, x.shape[1]), x.dtype)
    for x in (memory.keys, memory.values)
  )
  return Pages(jnp.zeros((num_pages, page, 1, size), jnp.uint8), keys, values)
