"""Types of values inside `shard_map`: which mesh axes they vary over."""

from typing import Any, TypeVar

import jax

_Tree = TypeVar("_Tree")


def to_common_varying(tree: _Tree) -> _Tree:
  """Returns `tree` with every array varying over all axes that any varies over.

  Outside `shard_map`, or with check_vma=False, nothing changes. The transpose
  of the cast is a psum: it makes the gradient of a weight that is the same on
  all devices the sum over the devices' tokens.
  """
  union = varying_axes(tree)

  def cast(x: jax.Array) -> jax.Array:
    missing = union - varying_axes(x)
    if not missing:
      return x
    return jax.lax.pcast(x, tuple(sorted(missing)), to="varying")

  return jax.tree.map(cast, tree)


def varying_axes(tree: Any) -> frozenset[str]:
  """Returns the mesh axes that any array of `tree` varies over."""
  axes = (jax.typeof(x).manual_axis_type.varying for x in jax.tree.leaves(tree))
  return frozenset().union(*axes)
