"""Numbers by which programs name arenas: alike in all processes of a mesh."""

import collections
import hashlib
import itertools

from jax_deepgemm.symmetric_memory.exchange import Exchange
from jax_deepgemm.symmetric_memory.rank_groups import RankGroups

_next = itertools.count(1)
_allocations: collections.Counter[str] = collections.Counter()


def own() -> int:
  """Returns a number that this process has not given yet."""
  return next(_next)


def agree(exchange: Exchange) -> int:
  """Returns a number that none of these processes has given yet.

  Processes that share in other meshes may be ahead of others.
  """
  global _next
  proposals = exchange.gather(lambda: str(own()).encode())
  handle = max(map(int, proposals.values()))
  _next = itertools.count(handle + 1)
  return handle


def label(groups: RankGroups) -> str:
  """Returns what names the next allocation for these groups everywhere."""
  ids = str([[device.id for device in group] for group in groups.groups])
  mesh = hashlib.sha256(ids.encode()).hexdigest()[:16]
  _allocations[mesh] += 1
  return f"{mesh}/{_allocations[mesh]}"
