"""Which group each row of an m-grouped GEMM belongs to."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jax_deepgemm.alignment import align

Layout = Literal["index", "psum", "ragged", "masked"]

# The id of a row that belongs to no group.
NO_GROUP = -1


class GroupRows(NamedTuple):
  """The rows of each group, `[g]` int32 each; starts ascend."""

  starts: jax.Array
  ends: jax.Array


def rows_of_groups(
  group_layout: jax.Array,
  *,
  layout: Layout,
  alignment: int,
  num_groups: int,
  num_rows: int,
) -> GroupRows:
  """Returns where the groups lie; arguments are those of `group_of_rows`.

  Not for the layout "index", where a group's rows may lie anywhere.
  """
  if layout == "masked":
    group_rows = num_rows // num_groups
    starts = jnp.arange(num_groups, dtype=jnp.int32) * group_rows
    return GroupRows(starts, starts + jnp.clip(group_layout, 0, group_rows))
  limited = jnp.clip(group_layout, 0, num_rows)
  if layout == "ragged":
    # Saturates, as a sum of sizes past the last row need not fit an int32.
    ends = lax.associative_scan(
      lambda x, y: jnp.minimum(x + y, num_rows), limited
    )
    return GroupRows(_ends_before(ends), ends)
  ends = lax.cummax(limited)
  return GroupRows(
    jnp.minimum(align(_ends_before(ends), alignment), ends), ends
  )


def _ends_before(ends: jax.Array) -> jax.Array:
  return jnp.pad(ends, (1, 0))[:-1]


def group_of_rows(
  group_layout: jax.Array,
  *,
  layout: Layout,
  alignment: int,
  num_groups: int,
  num_rows: int,
) -> jax.Array:
  """Returns `[num_rows]` int32: the group of each row, or -1 for none.

  Only the device knows the numbers in `group_layout`, so all of them mean
  something: a size below 0 counts as 0, an end past the last row as that row,
  an id that is no group's as -1.

  Args:
    group_layout: int32, by `layout`:
      "index": `[num_rows]`, the group of each row.
      "psum": `[g]`, the end of each group; a group starts where the one before
        ended, rounded up to `alignment`. An end before the end of an earlier
        group counts as that one's, so that groups never overlap.
      "ragged": `[g]`, sizes of groups that follow each other without gaps.
      "masked": `[g]`, how many of the num_rows / g rows of a group are in use.
    layout: as above.
    alignment: row multiple that groups start at, for "psum".
    num_groups: g > 0.
    num_rows: rows in all.
  """
  if layout == "index":
    is_group = (group_layout >= 0) & (group_layout < num_groups)
    return jnp.where(is_group, group_layout, NO_GROUP)
  row = jnp.arange(num_rows, dtype=jnp.int32)
  if layout == "masked":
    group_rows = num_rows // num_groups
    group = row // group_rows
    return jnp.where(row % group_rows < group_layout[group], group, NO_GROUP)
  starts, ends = rows_of_groups(
    group_layout,
    layout=layout,
    alignment=alignment,
    num_groups=num_groups,
    num_rows=num_rows,
  )
  # Comparing with all ends is one fusion; the default is a loop of kernels.
  after = jnp.searchsorted(ends, row, side="right", method="compare_all")
  group = jnp.minimum(after.astype(jnp.int32), num_groups - 1)
  is_inside = (row >= starts[group]) & (row < ends[group])
  return jnp.where(is_inside, group, NO_GROUP)
