"""How operands of a GEMM of groups of rows reach the Hopper kernels."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.heuristics.m_grouped_problem import MAX_GROUPS


def problem_fields(
  name: str,
  a: jax.Array,
  n: int,
  num_groups: int,
  *,
  layout: str,
  alignment: int,
  expected_m: int | None,
  float32_out: bool,
) -> dict[str, Any]:
  """Returns the fields of `MGroupedProblem`.

  Args:
    name: of the operation, for messages.
    a: `[m, k]`, or `[g, m, k]` if masked.
    n: columns of the result.
    num_groups: g.
    layout: "index", "psum", "ragged" or "masked".
    alignment: of groups' first rows, for index and psum.
    expected_m: rows of a group, for the choice of tiles.
    float32_out: the result is float32.

  Raises:
    NotImplementedError: the kernels have no room for so many groups.
  """
  if num_groups > MAX_GROUPS:
    raise NotImplementedError(
      f"{name} takes at most {MAX_GROUPS} groups on Hopper, got {num_groups};"
      " split the groups over several calls"
    )
  *lead, m, k = a.shape
  num_rows = num_groups * m if lead else m
  if layout in ("masked", "ragged"):
    alignment = m if layout == "masked" else 1
  return {
    "m": num_rows,
    "n": n,
    "k": k,
    "num_groups": num_groups,
    "expected_m": min(expected_m or ceil_div(num_rows, num_groups), num_rows),
    "row_alignment": alignment,
    "float32_out": float32_out,
  }


def ragged_fields(
  name: str,
  a: jax.ShapeDtypeStruct,
  n: int,
  num_groups: int,
  expected_m: int,
) -> dict[str, Any]:
  """Returns problem_fields of rows that lie in ragged groups, for bfloat16."""
  return problem_fields(
    name,
    a,
    n,
    num_groups,
    layout="ragged",
    alignment=1,
    expected_m=expected_m,
    float32_out=False,
  )


def rows_of(x: jax.Array) -> jax.Array:
  """Returns `[1, m, k]`: rows of all groups."""
  return x.reshape(1, -1, x.shape[-1])


def layout_operands(
  group_layout: jax.Array, layout: str, num_groups: int
) -> list[jax.Array]:
  """Returns the operands that tell of groups; they go last."""
  if layout == "index":
    return [_ranges(group_layout, num_groups), group_layout]
  return [group_layout]


def _ranges(row_ids: jax.Array, num_groups: int) -> jax.Array:
  """Returns `[2 g]`: each group's first row, and behind them each one's end."""
  rows = jnp.arange(row_ids.size, dtype=jnp.int32)
  groups = jnp.arange(num_groups, dtype=jnp.int32)[:, None]
  has = row_ids[None] == groups
  begins = jnp.min(jnp.where(has, rows, row_ids.size), axis=1)
  ends = jnp.max(jnp.where(has, rows + 1, 0), axis=1)
  return jnp.concatenate([begins, ends])
