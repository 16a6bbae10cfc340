"""A dense fp8 GEMM whose result has room in the middle of each head."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
from jax import lax

from jax_deepgemm.gemm import fp8_gemm_nt

HeadSplits = tuple[int, int, int]


def fp8_gemm_nt_skip_head_mid(
  a: Any,
  b: Any,
  head_splits: Sequence[int],
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
) -> jax.Array:
  """Returns `dequantize(a) @ dequantize(b).T` with a gap in each head.

  With (left, mid, right) = head_splits the product's columns are heads of left
  and right columns side by side. Column j of the product becomes column

    j + (j + right) // (left + right) * mid

  of the result, so that each head there is `[left | mid | right]`. The mid
  columns are zeros.

  Operands, gradients, `vmap` and sharding are those of `fp8_gemm_nt`; a product
  whose shards along n are no whole heads is gathered along n first, under
  explicit sharding. On Hopper the product is a kernel and the gaps are one
  fusion of XLA behind it, in the same program under `jit`: it reads the product
  and writes the result once more, (2 n + gaps) m elements of traffic.

  Args:
    a: `[m, k]`, as in `fp8_gemm_nt`.
    b: `[n, k]`, as in `fp8_gemm_nt`; n a multiple of left + right.
    head_splits: (left, mid, right), columns; mid and one of the others may be
      zero.
    out_dtype: bfloat16 (default) or float32.
    recipe: as in `fp8_gemm_nt`.

  Returns:
    D, `[m, n + n // (left + right) * mid]` in `out_dtype`.

  Raises:
    TypeError: head_splits are no integers, or as `fp8_gemm_nt`.
    ValueError: head_splits are not three, negative, or do not divide n; or as
      `fp8_gemm_nt`.
    NotImplementedError: as `fp8_gemm_nt`.
  """
  splits = _checked_splits(head_splits)
  product = fp8_gemm_nt(a, b, out_dtype=out_dtype, recipe=recipe)
  left, _, right = splits
  if product.shape[1] % (left + right):
    raise ValueError(
      "n must be a multiple of left + right of head_splits, got"
      f" {product.shape[1]} and {left} + {right}"
    )
  return _with_gaps(splits, _whole_heads(product, left + right))


def _checked_splits(head_splits: Sequence[int]) -> HeadSplits:
  is_sequence = isinstance(head_splits, (tuple, list))
  if not is_sequence or any(type(size) is not int for size in head_splits):
    raise TypeError(
      f"head_splits must be three integers (left, mid, right), got"
      f" {head_splits!r}"
    )
  if len(head_splits) != 3 or min(head_splits) < 0:
    raise ValueError(
      "head_splits must be (left, mid, right), none below 0, got"
      f" {head_splits!r}"
    )
  left, mid, right = head_splits
  if left + right == 0:
    raise ValueError(
      f"head_splits must have left or right above 0, got {head_splits!r}"
    )
  return left, mid, right


def _whole_heads(product: jax.Array, head: int) -> jax.Array:
  """Returns `[m, n]` that no explicit axis shards within a head."""
  sharding = jax.typeof(product).sharding
  rows, columns = sharding.spec
  axes = columns if isinstance(columns, tuple) else (columns,)
  shards = math.prod(sharding.mesh.shape[axis] for axis in axes if axis)
  if product.shape[1] // head % shards == 0:
    return product
  spec = jax.sharding.PartitionSpec(rows, None)
  return jax.sharding.reshard(product, sharding.update(spec=spec))


@functools.partial(jax.jit, static_argnums=0)
def _with_gaps(splits: HeadSplits, product: jax.Array) -> jax.Array:
  """Returns the product with zeros between the parts of each head."""
  left, mid, right = splits
  m, n = product.shape
  num_heads = n // (left + right)
  heads = product.reshape(m, num_heads, left + right)
  zero = product.dtype.type(0)
  padding = ((0, 0, 0), (0, 0, 0), (0, mid, 0))
  first = lax.pad(heads[:, :, :left], zero, padding)
  whole = lax.concatenate([first, heads[:, :, left:]], 2)
  return whole.reshape(m, num_heads * (left + mid + right))
