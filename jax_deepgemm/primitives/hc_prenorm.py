"""A product with the sums of squares of its rows, as a primitive.

Two primitives of one meaning, as for GEMMs: `hc_prenorm_p` may still be
partitioned by XLA, `hc_prenorm_local_p` is one device's share.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir, xla
from jax.sharding import PartitionSpec

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  hc_prenorm_lowering,
  hc_prenorm_partitioning,
  hc_prenorm_reference,
)
from jax_deepgemm.primitives.gemm_partitioning import require_devices
from jax_deepgemm.primitives.hc_prenorm_batching import batch

hc_prenorm_p = Primitive("hc_prenorm_gemm")
hc_prenorm_local_p = Primitive("hc_prenorm_gemm_local")


def hc_prenorm_gemm(
  a: jax.Array, b: jax.Array, *, num_splits: int | None, options: Options
) -> list[jax.Array]:
  """Returns sum_k a[g, m, k] b[g, n, k] and sum_k a[g, m, k]^2, split by split.

  The group dimension may be absent, from both operands alike.

  Args:
    a: bfloat16 `[g, m, k]`.
    b: float32 `[g, n, k]`.
    num_splits: how many parts of K are summed apart; None is one part, and
      leave to sum in any fixed order.
    options: in force when the public function was called.

  Returns:
    `[num_splits or 1, g, m, n]` and `[num_splits or 1, g, m]`, float32.
  """
  is_manual = jax.sharding.get_abstract_mesh().are_all_axes_manual
  primitive = hc_prenorm_local_p if is_manual else hc_prenorm_p
  return _bind(primitive, a, b, num_splits=num_splits, options=options)


def _bind(
  primitive: Primitive, a: jax.Array, b: jax.Array, **params: Any
) -> list[jax.Array]:
  """Binds, except where there is nothing to launch."""
  if 0 in (*a.shape, *b.shape):
    return list(_reference(a, b, num_splits=params["num_splits"]))
  return primitive.bind(a, b, **params)


_reference = jax.jit(
  hc_prenorm_reference.hc_prenorm_gemm, static_argnames="num_splits"
)


def _abstract_eval(
  a: ShapedArray, b: ShapedArray, *, num_splits: int | None, options: Options
) -> list[ShapedArray]:
  del options
  *group, m, _ = a.shape
  splits = 1 if num_splits is None else num_splits
  spec = a.sharding.spec[:-1]

  def result(*columns: int) -> ShapedArray:
    # From an operand, so that inside shard_map the results vary as it does.
    entries = PartitionSpec(None, *spec, *(None for _ in columns))
    return a.update(
      shape=(splits, *group, m, *columns),
      dtype=jnp.dtype("float32"),
      weak_type=False,
      sharding=a.sharding.update(spec=entries),
    )

  return [result(b.shape[-2]), result()]


for _primitive in (hc_prenorm_p, hc_prenorm_local_p):
  _primitive.multiple_results = True
  _primitive.def_impl(functools.partial(xla.apply_primitive, _primitive))
  _primitive.def_abstract_eval(_abstract_eval)
  batching.primitive_batchers[_primitive] = functools.partial(
    batch, hc_prenorm_gemm
  )

mlir.register_lowering(hc_prenorm_local_p, hc_prenorm_lowering.default)
mlir.register_lowering(
  hc_prenorm_local_p, hc_prenorm_lowering.cuda, platform="cuda"
)
mlir.register_lowering(
  hc_prenorm_p,
  functools.partial(
    hc_prenorm_partitioning.lower,
    functools.partial(_bind, hc_prenorm_local_p),
  ),
)
require_devices(hc_prenorm_p)
