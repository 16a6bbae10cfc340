"""Einsums of bfloat16 arrays: batched GEMMs, and one with a K of two axes."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jax_deepgemm.bf16_gemm import bf16_gemm_of_layout
from jax_deepgemm.einsum_expression import Expression, layout, parse
from jax_deepgemm.gemm_arguments import checked_array, checked_c, checked_out
from jax_deepgemm.primitives.memory_order import MemoryOrder

_LONG_K = "bmk,bnk->mn"
# The layout of a product of one head.
_BATCHED = {"bhr,hdr->bhd": "nt", "bhd,hdr->bhr": "nn"}
# Of a, of b and of the result: the dimension of heads.
_HEADS = ((1, 0), 1)


def einsum(
  expr: str,
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """Returns `c + jnp.einsum(expr, a, b)` of bfloat16 operands.

  Sums are float32, and the result is rounded once. One of

    bmk,bnk->mn   D[m, n] = sum_bk A[b, m, k] B[b, n, k]
    bhr,hdr->bhd  D[b, h, d] = sum_r A[b, h, r] B[h, d, r]
    bhd,hdr->bhr  D[b, h, r] = sum_d A[b, h, d] B[h, d, r]

  in any letters, with spaces or without. The last two are a GEMM for each h,
  in one launch: the kernel reads a and b and writes the result as they lie.
  With c, XLA brings c and the result from and to where the kernel has them, a
  copy of each. The first is one GEMM along b and k: parts of that are summed by
  themselves and then added in one order, so results do not differ from run to
  run.

  Any size may be zero. Sizes that are no multiple of 8 cost what they cost in
  `bf16_gemm_nt`, as gradients and shardings are those of it. The gradients of
  the first expression make copies of the operands, those of the others none;
  where explicit mesh axes share out its k, and not its b, it makes copies, too.

  Args:
    expr: as above.
    a: bfloat16, of three dimensions.
    b: likewise.
    c: of the result's shape, in `out_dtype`, added before it is rounded.
    out_dtype: bfloat16 or float32; by default c's, or bfloat16 without c.

  Returns:
    The result, in `out_dtype`.

  Raises:
    TypeError: the dtype of an argument is wrong.
    ValueError: the expression is none of these, or a shape is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper.
  """
  found = parse(expr, (_LONG_K, *_BATCHED))
  a = checked_array("a", a, layout(found.a), ("bfloat16",))
  b = checked_array("b", b, layout(found.b), ("bfloat16",))
  dtype = checked_out(out_dtype, c)
  c = checked_addend(found, a, b, c, dtype)
  if found.name == _LONG_K:
    return _over_long_k(a, b, c, dtype)
  product = functools.partial(
    bf16_gemm_of_layout,
    _BATCHED[found.name],
    out_dtype=dtype,
    memory=MemoryOrder(d_groups_inside=True),
  )
  return over_heads(product, *_HEADS, a, b, c)


def checked_addend(
  expression: Expression, a: jax.Array, b: jax.Array, c: Any, dtype: jnp.dtype
) -> jax.Array | None:
  """Returns c as a JAX array, or None; checks the sizes of all three.

  Raises:
    TypeError: c is no array of `dtype`.
    ValueError: sizes do not go together.
  """
  sizes = expression.sizes(a.shape, b.shape)
  letters = expression.result
  return checked_c(c, tuple(sizes[x] for x in letters), dtype, layout(letters))


def over_heads(
  product: Any, operand_axes: Any, result_axis: int, a: Any, b: Any, c: Any
) -> jax.Array:
  """Returns product(a, b, c) of each head, in one launch.

  Args:
    product: of one head, takes arrays without that dimension.
    operand_axes: which dimension it is of a and of b.
    result_axis: which it is of c and of the result.
    a: first operand.
    b: second.
    c: addend or None.
  """
  if c is None:
    mapped = jax.vmap(
      lambda a, b: product(a, b, None), operand_axes, result_axis
    )
    return mapped(a, b)
  return jax.vmap(product, (*operand_axes, result_axis), result_axis)(a, b, c)


def _over_long_k(
  a: jax.Array, b: jax.Array, c: jax.Array | None, dtype: jnp.dtype
) -> jax.Array:
  """Returns c + sum over dimensions 0 and 2 of a and b."""
  # What explicit mesh axes share out must stay the outer one of the two.
  k_first = any(_is_sharded(x, 2) and not _is_sharded(x, 0) for x in (a, b))

  def with_one_k(x: jax.Array) -> jax.Array:
    if _is_sharded(x, 0 if k_first else 2):
      x = _gathered(x, 0 if k_first else 2)
    batch, rows, k = x.shape
    x = x.transpose((1, 2, 0) if k_first else (1, 0, 2))
    return x.reshape(rows, batch * k)

  memory = MemoryOrder(k_run=0 if k_first else a.shape[2])
  return bf16_gemm_of_layout(
    "nt", with_one_k(a), with_one_k(b), c, dtype, memory
  )


def _is_sharded(x: jax.Array, axis: int) -> bool:
  """Returns whether explicit mesh axes share out a dimension."""
  return jax.typeof(x).sharding.spec[axis] is not None


def _gathered(x: jax.Array, axis: int) -> jax.Array:
  """Returns x, a dimension of which is no longer shared out."""
  sharding = jax.typeof(x).sharding
  entries = [None if i == axis else e for i, e in enumerate(sharding.spec)]
  return jax.sharding.reshard(x, sharding.update(spec=P(*entries)))
