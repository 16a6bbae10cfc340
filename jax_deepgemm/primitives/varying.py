"""Types of values inside `shard_map`: which mesh axes they vary over."""

from typing import TypeVar

import jax

_Tree = TypeVar("_Tree")


def to_common_varying(tree: _Tree) -> _Tree:
  """Returns `tree` with every array varying over all axes that any varies over.

  Outside `shard_map`, or with check_vma=False, nothing changes. The transpose
  of the cast is a psum: it makes the gradient of a weight that is the same on
  all devices the sum over the devices' tokens.
  """
  union = frozenset().union(*map(_varying_axes, jax.tree.leaves(tree)))

  def cast(x: jax.Array) -> jax.Array:
    missing = union - _varying_axes(x)
    if not missing:
      return x
    return jax.lax.pcast(x, tuple(sorted(missing)), to="varying")

  return jax.tree.map(cast, tree)


def _varying_axes(x: jax.Array) -> frozenset[str]:
  return jax.typeof(x).manual_axis_type.varying
