"""The product in front of a hyper-connection's norm, with its row sums.

Residual streams are mixed with weights that depend on the streams' RMS norm.
The norm is a factor of each row, which can as well be applied to the product:
one pass over the streams computes both.
"""

import dataclasses
import functools
from typing import Any

import jax
from jax.sharding import AbstractMesh, PartitionSpec

from jax_deepgemm.array_checks import check_positive
from jax_deepgemm.explicit_sharding import (
  explicit_mesh,
  placed,
  vmapped_axes,
)
from jax_deepgemm.gemm_arguments import checked_matrix
from jax_deepgemm.options import Options, current
from jax_deepgemm.primitives import hc_prenorm_reference
from jax_deepgemm.primitives.hc_prenorm import hc_prenorm_gemm
from jax_deepgemm.primitives.hc_prenorm_partitioning import (
  plan_of,
  summed_over_k,
)
from jax_deepgemm.primitives.partition_plan import Plan
from jax_deepgemm.primitives.varying import to_common_varying

_Pair = tuple[jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class _Params:
  """What is computed besides the operands: see `hc_prenorm_gemm`."""

  num_splits: int | None
  options: Options


def tf32_hc_prenorm_gemm(
  a: jax.Array, b: jax.Array, *, num_splits: int | None = None
) -> _Pair:
  """Returns `(a @ b.T, sum(a ** 2, axis=1))`, in float32.

  Nothing is normalised: with `eps`, `d * rsqrt(sqr_sum / k + eps)[:, None]` is
  the product of RMS-normed rows.

  On Hopper one kernel reads a once and computes both. It multiplies b as two
  bfloat16 numbers, the leading 8 bits and the next 8, where TF32 would keep 11
  bits. K is shared out to several thread blocks, whose sums are added in a
  fixed order within the kernel: results are the same bit by bit, whatever the
  other rows are. TMA needs rows of whole 16 bytes: with k no multiple of 8, a
  and b are copied to rows that are padded with zeros. More than 32 rows of b
  are several tiles, each of which reads a again.

  Gradients flow to both operands, computed in float32 by XLA. Under `vmap` more
  rows of a are one launch, and so are batches of both; a batch of b alone
  repeats a. Sharded rows of a need no communication; sharded k is one sum of
  both results over its axes, where num_splits is None, else it is gathered.

  Args:
    a: bfloat16 `[m, k]`.
    b: float32 `[n, k]`.
    num_splits: None, or the number of partial results. K is cut in blocks of
      64, the last of which may be smaller; each of s splits has floor(blocks /
      s) in a row, the first ones one more until none is left.

  Returns:
    d `[m, n]` and sqr_sum `[m]`, float32; with num_splits = s partial ones,
    `[s, m, n]` and `[s, m]`, whose sums over axis 0 those are. A split without
    blocks is zero.

  Raises:
    TypeError: an operand is no array of that dtype.
    ValueError: an operand is no matrix, the two have different k, or
      num_splits is no integer above 0.
    NotImplementedError: options(implementation="kernel") without a Hopper GPU.
  """
  a = checked_matrix("a", a, "m", False, ("bfloat16",))
  b = checked_matrix("b", b, "n", False, ("float32",))
  if a.shape[1] != b.shape[1]:
    raise ValueError(
      f"a and b must have the same k, got {a.shape[1]} and {b.shape[1]}"
    )
  if num_splits is not None:
    check_positive("num_splits", num_splits)
  params = _Params(num_splits, current())
  mesh = explicit_mesh(a, b)
  if mesh is None:
    d, sqr_sum = _compute(params, a, b)
  else:
    d, sqr_sum = _over_mesh(params, mesh, a, b)
  return (d[0], sqr_sum[0]) if num_splits is None else (d, sqr_sum)


def _compute(params: _Params, a: jax.Array, b: jax.Array) -> _Pair:
  """Returns one device's partial results."""
  a, b = to_common_varying((a, b))
  return _differentiable(params, a, b)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _differentiable(params: _Params, a: jax.Array, b: jax.Array) -> _Pair:
  d, sqr_sum = hc_prenorm_gemm(
    a, b, num_splits=params.num_splits, options=params.options
  )
  return d, sqr_sum


def _forward(
  params: _Params, a: jax.Array, b: jax.Array
) -> tuple[_Pair, tuple[jax.Array, jax.Array]]:
  return _differentiable(params, a, b), (a, b)


def _backward(params: _Params, saved: _Pair, cotangents: _Pair) -> _Pair:
  return hc_prenorm_reference.gradients(
    *saved, *cotangents, num_splits=params.num_splits
  )


_differentiable.defvjp(_forward, _backward)


def _over_mesh(
  params: _Params, mesh: AbstractMesh, a: jax.Array, b: jax.Array
) -> _Pair:
  """Returns the partial results, each device computing its rows.

  XLA never sees an unpartitioned call: the operands' types say where their
  shards are.
  """
  specs = [(None, *_entries(x)) for x in (a, b)]
  plan = plan_of(
    (1, *a.shape), (1, *b.shape), mesh.shape, *specs, params.num_splits
  )
  spec_a, spec_b = (PartitionSpec(*s[1:]) for s in (plan.a, plan.b))
  a, b = placed(a, mesh, spec_a), placed(b, mesh, spec_b)
  if plan == Plan() and vmapped_axes():
    # Only the batch of a vmap is sharded; the batching rule maps over it.
    return _compute(params, a, b)
  (rows,) = plan.result[1:2]
  mapped = jax.shard_map(
    lambda a, b: summed_over_k(_compute(params, a, b), plan.k),
    mesh=mesh,
    in_specs=(spec_a, spec_b),
    out_specs=(PartitionSpec(None, rows, None), PartitionSpec(None, rows)),
    axis_names=frozenset(mesh.explicit_axes) - vmapped_axes(),
  )
  return mapped(a, b)


def _entries(x: jax.Array) -> tuple[Any, ...]:
  spec = jax.typeof(x).sharding.spec
  return (*spec, *(None,) * (x.ndim - len(spec)))
