"""Tiles of rows that belong to one group each: how references group rows."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.primitives.varying import to_common_varying

_State = TypeVar("_State")


@dataclasses.dataclass(frozen=True)
class RowTiles:
  """The rows of all groups, each group cut into tiles from its first row on.

  Attributes:
    order: `[m]` row numbers, sorted by group, those of no group last.
    ends: `[g]` where each group ends in `order`.
    sizes: `[g]` rows of each group.
    tile_ends: `[g]` tiles of this group and all before it.
    tile_rows: rows of a tile; a group's last one may have fewer.
  """

  order: jax.Array
  ends: jax.Array
  sizes: jax.Array
  tile_ends: jax.Array
  tile_rows: int

  @classmethod
  def of(
    cls, group_of_row: jax.Array, num_groups: int, tile_rows: int
  ) -> "RowTiles":
    """Returns the tiles of rows whose groups `group_of_rows` found.

    Args:
      group_of_row: `[m]` int32 in [-1, num_groups).
      num_groups: g.
      tile_rows: rows of a tile.
    """
    key = jnp.where(group_of_row < 0, num_groups, group_of_row)
    # The type of what a sort returns varies as the row numbers do, not the key.
    order, zeros, _ = to_common_varying(
      (
        jnp.argsort(key).astype(jnp.int32),
        jnp.zeros(num_groups, jnp.int32),
        key,
      )
    )
    # num_groups is one past the last element, which drops rows of no group.
    sizes = zeros.at[key].add(1, mode="drop")
    return cls(
      order=order,
      ends=jnp.cumsum(sizes),
      sizes=sizes,
      tile_ends=jnp.cumsum(ceil_div(sizes, tile_rows)),
      tile_rows=tile_rows,
    )

  def fold(
    self, step: Callable[[jax.Array, jax.Array, _State], _State], state: _State
  ) -> _State:
    """Returns `state` after step(group, rows, state) of every tile in order.

    `rows` is `[tile_rows]` int32; rows that a last tile lacks are m, which is
    past the end of an array of m rows.
    """
    state = to_common_varying((state, self.order))[0]

    def body(i: jax.Array, state: _State) -> _State:
      group, rows = self._tile(i)
      return step(group, rows, state)

    # The bound is the number of tiles that there are, not that there may be.
    return lax.fori_loop(0, self.tile_ends[-1], body, state)

  def _tile(self, i: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the group and the rows of tile i."""
    group = jnp.searchsorted(self.tile_ends, i, side="right")
    tiles_before = self.tile_ends[group] - ceil_div(
      self.sizes[group], self.tile_rows
    )
    first = self.ends[group] - self.sizes[group]
    first += (i - tiles_before) * self.tile_rows
    position = first + jnp.arange(self.tile_rows, dtype=jnp.int32)
    rows = self.order.at[position].get(mode="clip")
    is_inside = position < self.ends[group]
    return group, jnp.where(is_inside, rows, self.order.size)
