"""Float64 NumPy oracle of paged MQA logits, and operands to try it on."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tests import mqa_data

_SPARE = 3  # Pages of nobody.
_SCALE_BYTES = 4
_GARBAGE = (-1, 2**31 - 1, -(2**31), 7)


@dataclasses.dataclass(frozen=True)
class PagedOperands:
  """What `fp8_paged_mqa_logits` is given, in NumPy."""

  q: np.ndarray
  cache: np.ndarray
  weights: np.ndarray
  lens: np.ndarray
  table: np.ndarray
  indices: np.ndarray | None = None

  def arguments(self, *settings: object) -> tuple[object, ...]:
    """Returns positional arguments: all up to indices, the last."""
    *first, indices = (getattr(self, f.name) for f in dataclasses.fields(self))
    return (*first, None, *settings, indices)

  def dense_q(self) -> np.ndarray:
    """Returns float64 `[b, n, h, d]`."""
    return self.q.astype(np.float64)

  def dense_keys(self) -> np.ndarray:
    """Returns keys times their scales, float64 `[blocks, block_kv, d]`."""
    codes, scales = halves(self.cache)
    keys = codes.view(mqa_data.E4M3FN).astype(np.float64)
    return keys * scales.view(np.float32)


def packed(vectors: np.ndarray, scales: np.ndarray) -> np.ndarray:
  """Returns a cache of vectors `[blocks, block_kv, ...]` and their scales."""
  num_blocks, block_kv, _ = vectors.shape
  parts = [x.view(np.uint8).reshape(num_blocks, -1) for x in (vectors, scales)]
  return np.concatenate(parts, axis=1).reshape(num_blocks, block_kv, 1, -1)


def halves(cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns bytes of vectors and of their scales, `[blocks, block_kv, ...]`."""
  num_blocks, block_kv, _, size = cache.shape
  flat = cache.reshape(num_blocks, -1)
  cut = block_kv * (size - _SCALE_BYTES)
  return tuple(
    np.ascontiguousarray(part).reshape(num_blocks, block_kv, -1)
    for part in (flat[:, :cut], flat[:, cut:])
  )


def operands(
  lens: Sequence[Sequence[int]],
  num_heads: int,
  head_dim: int,
  block_kv: int,
  max_blocks: int,
  *,
  indices: Sequence[int] | None = None,
  wild: bool = False,
) -> PagedOperands:
  """Returns operands of len(lens) sequences.

  Pages lie in any order. Keys that no row sees and pages of nobody are NaN, and
  entries of the table that no row needs are anything. Neighbours have other
  scales and weights, so that a wrong one shows.

  Args:
    lens: keys of each row of each sequence, any values.
    num_heads: heads.
    head_dim: elements of a key.
    block_kv: keys of a page.
    max_blocks: pages of a sequence in the table.
    indices: the sequence of each row; equal neighbours share their pages.
    wild: everybody's second page is the last one that there is, by an entry
      far beyond it, and the third is the first one, by a negative entry.
  """
  random = np.random.default_rng(7)
  lens = np.array(lens, np.int32)
  batch, next_n = lens.shape
  table, used = pages_of(lens, block_kv, max_blocks, indices, wild, random)
  num_blocks = len(used)
  keys = mqa_data.codes((num_blocks, block_kv, head_dim), 2)
  scales = np.exp2(np.arange(num_blocks * block_kv) * 7 % 23 - 11.0)
  scales = scales.astype(np.float32).reshape(num_blocks, block_kv)
  keys[~used] = np.nan
  scales[~used] = np.nan
  if wild:
    for page in (0, num_blocks - 1):
      keys[page] = mqa_data.codes((block_kv, head_dim), 9)
      scales[page] = 0.5
  return PagedOperands(
    mqa_data.codes((batch, next_n, num_heads, head_dim), 1),
    packed(keys, scales),
    weights_of(batch * next_n, num_heads, random),
    lens,
    table,
    None if indices is None else np.array(indices, np.int32),
  )


def weights_of(
  num_rows: int, num_heads: int, random: np.random.Generator
) -> np.ndarray:
  """Returns float32 weights; those of neighbours are of other sizes."""
  weights = random.standard_normal((num_rows, num_heads))
  weights *= np.exp2(np.arange(num_rows) % 5 - 2.0)[:, None]
  return weights.astype(np.float32)


def pages_of(
  lens: np.ndarray,
  block_kv: int,
  max_blocks: int,
  indices: Sequence[int] | None,
  wild: bool,
  random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the table, and which keys `[blocks, block_kv]` a row sees."""
  sequence = np.arange(len(lens)) if indices is None else _runs(indices)
  seen = np.zeros((sequence[-1] + 1, max_blocks * block_kv), bool)
  for row, most in enumerate(lens.max(1)):
    seen[sequence[row], : max(most, 0)] = True
  num_blocks = len(seen) * max_blocks + _SPARE
  pages = random.permutation(num_blocks)[: len(seen) * max_blocks]
  pages = pages.reshape(len(seen), max_blocks)
  used = np.zeros((num_blocks, block_kv), bool)
  used[pages.ravel()] = seen.reshape(-1, block_kv)
  needed = seen.reshape(len(seen), max_blocks, block_kv).any(2)
  garbage = np.resize(_GARBAGE, pages.shape)
  table = np.where(needed, pages, garbage).astype(np.int32)[sequence]
  if wild:
    # Cut to the last page and to the first, with keys of numbers.
    table[:, 1], table[:, 2] = 2**31 - 1, -(2**31)
  return table, used


def logits(
  given: PagedOperands, width: int, fill: float
) -> tuple[np.ndarray, np.ndarray]:
  """Returns logits and the sums of magnitudes behind them, row after row."""
  batch, next_n, *_ = given.q.shape
  queries, cache = given.dense_q(), given.dense_keys()
  num_blocks, _, head_dim = cache.shape
  exact = np.full((batch * next_n, width), fill)
  magnitude = np.zeros(exact.shape)
  for i in range(batch * next_n):
    pages = np.clip(given.table[i // next_n], 0, num_blocks - 1)
    keys = cache[pages].reshape(-1, head_dim)
    last = min(max(int(given.lens.flat[i]), 0), width, len(keys))
    used, row = keys[:last], queries[i // next_n, i % next_n]
    w = given.weights[i].astype(np.float64)
    exact[i, :last] = w @ np.maximum(row @ used.T, 0)
    magnitude[i, :last] = np.abs(w) @ (np.abs(row) @ np.abs(used).T)
  return exact, magnitude


def wrong(
  found: np.ndarray, given: PagedOperands, bits: float, fill: float
) -> np.ndarray:
  """Returns indices of what is off, as `mqa_data.wrong`; fill may be NaN."""
  exact, magnitude = logits(given, found.shape[1], fill)
  if np.isnan(fill):
    beyond = np.isnan(exact)
    was_left = beyond & np.isnan(found.astype(np.float32))
    found = np.where(was_left, np.zeros_like(found), found)
    exact = np.where(beyond, 0.0, exact)
  return mqa_data.wrong(found, exact, magnitude, bits)


def _runs(indices: Sequence[int]) -> np.ndarray:
  """Returns the number of each row's run of equal indices."""
  array = np.asarray(indices)
  return np.cumsum(np.append(False, array[1:] != array[:-1]))
