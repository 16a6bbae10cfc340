"""Chunks of rows, so that no more logits are in memory than those of one."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.primitives.varying import to_common_varying

Pair = tuple[jax.Array, jax.Array]


def over_chunks(
  compute: Callable[..., Pair], arrays: Sequence[jax.Array], rows: int
) -> Pair:
  """Returns compute(*arrays), at most `rows` rows at a time.

  The number of chunks is known to XLA, which runs them without the host. The
  last one begins where it ends with the last row: some rows of the chunk before
  are computed once more, to the same bits.

  Args:
    compute: from rows to two arrays of as many rows; of one row it does not
      depend on the others.
    arrays: `[s, ...]`.
    rows: of a chunk.
  """
  num_rows = arrays[0].shape[0]
  if rows >= num_rows:
    return compute(*arrays)

  def cut(first: jax.Array) -> list[jax.Array]:
    return [jax.lax.dynamic_slice_in_dim(x, first, rows) for x in arrays]

  def body(i: jax.Array, results: Pair) -> Pair:
    first = jnp.minimum(i * rows, num_rows - rows)
    found = compute(*cut(first))
    values, keys = (
      jax.lax.dynamic_update_slice_in_dim(x, y, first, 0)
      for x, y in zip(results, found, strict=True)
    )
    return values, keys

  shapes = jax.eval_shape(lambda: compute(*cut(jnp.int32(0))))
  empty = tuple(jnp.zeros((num_rows, *x.shape[1:]), x.dtype) for x in shapes)
  results, _ = to_common_varying((empty, tuple(arrays)))
  return jax.lax.fori_loop(0, ceil_div(num_rows, rows), body, results)
