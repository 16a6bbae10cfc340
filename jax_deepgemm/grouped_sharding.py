"""m-grouped GEMMs whose operands' sharding is part of their type."""

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_deepgemm.gemm_operands import Operand, values_of
from jax_deepgemm.grouped_gradient import GroupedParams, grouped_gemm


def grouped_gemm_over_mesh(
  mesh: AbstractMesh,
  a: Operand,
  b: Operand,
  group_layout: jax.Array,
  params: GroupedParams,
  main_grad: jax.Array | None = None,
) -> jax.Array:
  """Returns the product, columns (and masked groups) sharded as those of b.

  The shards of n must hold whole scale blocks, or n is gathered. Rows and k
  are gathered in any case: how many rows a device's groups have is not known
  before the program runs.

  Args:
    mesh: the mesh with explicit axes that an operand is on.
    a: `[m, k]`, or `[g, m, k]` if masked.
    b: `[g, n, k]`, or `[g, k, n]` if `params.b_mn_major`.
    group_layout: int32.
    params: of the product.
    main_grad: of the shape of b, or None.
  """
  n_axis = 2 if params.b_mn_major else 1
  num_groups, n = (values_of(b).shape[axis] for axis in (0, n_axis))
  spec = (*jax.typeof(values_of(b)).sharding.spec, None, None, None)
  g_entry, n_entry = spec[0], spec[n_axis]
  gran_n = params.recipe_b[0] if params.recipe_b else 1
  if not _divides(mesh, n_entry, n, gran_n):
    n_entry = None
  if params.layout != "masked" or not _divides(mesh, g_entry, num_groups, 1):
    g_entry = None
  rows = (g_entry, None) if params.layout == "masked" else (None,)
  b_entries = [g_entry, None, None]
  b_entries[n_axis] = n_entry
  spec_b = P(*b_entries)
  specs = (P(*rows, None), spec_b, P(rows[0]), spec_b)
  placed = [
    _placed(x, NamedSharding(mesh, spec))
    for x, spec in zip((a, b, group_layout, main_grad), specs, strict=True)
  ]
  mapped = jax.shard_map(
    lambda a, b, group_layout, main_grad: grouped_gemm(
      a, b, group_layout, params, main_grad
    ),
    mesh=mesh,
    in_specs=specs,
    out_specs=P(*rows, n_entry),
    axis_names=frozenset(mesh.explicit_axes),
  )
  return mapped(*placed)


def _divides(
  mesh: AbstractMesh, entry: str | Sequence[str] | None, size: int, block: int
) -> bool:
  """Returns whether the shards of a dimension are equal and whole blocks."""
  axes = (entry,) if isinstance(entry, str) else entry or ()
  shards = math.prod(mesh.shape[axis] for axis in axes)
  return size % (shards * block) == 0


def _placed(operand: Any, sharding: NamedSharding) -> Any:
  """Returns the operand, values and scales alike, with that sharding."""
  return jax.tree.map(lambda x: jax.sharding.reshard(x, sharding), operand)
