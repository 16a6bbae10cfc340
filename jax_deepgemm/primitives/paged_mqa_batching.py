"""vmap of paged MQA logits: one launch if all elements have the same cache."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.primitives import mqa_batching
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm, PagedTopkForm


def batch_shards(
  bind: Callable[..., Any],
  has_rows: Sequence[bool],
  operands: Sequence[jax.Array],
  dims: Sequence[int | None],
  *,
  form: PagedMqaForm | PagedTopkForm,
  **params: Any,
) -> tuple[Any, Any]:
  """Returns the results of a batch, and where its dimension is.

  Args:
    bind: binds the primitive.
    has_rows: which operands have sequences.
    operands: of the primitive, with one more dimension where batched.
    dims: the batch dimension of each operand, or None.
    form: of the results.
    **params: of the primitive.
  """
  operands, dims = list(operands), list(dims)
  if form.is_varlen:
    size = next(
      x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None
    )
    operands[-1] = _distinct(operands[-1], dims[-1], size)
    dims[-1] = 0
  return mqa_batching.batch_shards(
    bind, has_rows, operands, dims, form=form, **params
  )


def _distinct(indices: jax.Array, dim: int | None, size: int) -> jax.Array:
  """Returns indices `[size, b]` that no two elements have in common.

  The last row of one element and the first of the next may be adjacent rows of
  one launch, but are not of one sequence.
  """
  if dim is None:
    indices = jnp.broadcast_to(indices, (size, *indices.shape))
  else:
    indices = jnp.moveaxis(indices, dim, 0)
  differs = (indices[:, 1:] != indices[:, :-1]).astype(jnp.int32)
  run = jnp.pad(jnp.cumsum(differs, axis=1, dtype=jnp.int32), [(0, 0), (1, 0)])
  element = jnp.arange(size, dtype=jnp.int32) * indices.shape[1]
  return run + element[:, None]
