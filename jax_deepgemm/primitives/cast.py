"""The casts to e4m3fn as a primitive: types, derivatives and batching."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla
from jax.sharding import PartitionSpec

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import cast_lowering, cast_reference
from jax_deepgemm.primitives.cast_form import CastForm

cast_p = Primitive("cast_to_fp8")
cast_p.multiple_results = True


def cast(
  x: jax.Array,
  sizes: jax.Array | None = None,
  *,
  form: CastForm,
  options: Options,
) -> list[jax.Array]:
  """Returns values and scales of x, in the layouts that `form` says.

  Args:
    x: `[..., m, n]` bfloat16, float16 or float32.
    sizes: `[g]` int32, for a grouped form.
    form: what is computed.
    options: in force when the public function was called.
  """
  operands = (x,) if sizes is None else (x, sizes)
  return _bind(*operands, form=form, options=options)


def _bind(
  *operands: jax.Array, form: CastForm, options: Options
) -> list[jax.Array]:
  """Binds, except where there is nothing to launch or XLA must place it."""
  x = operands[0]
  if 0 in x.shape or jax.typeof(x).sharding.mesh.explicit_axes:
    return _jitted_reference(*operands, form=form)
  return cast_p.bind(*operands, form=form, options=options)


_jitted_reference = jax.jit(cast_reference.cast, static_argnames="form")


@cast_p.def_abstract_eval
def _abstract_eval(
  x: ShapedArray, *sizes: ShapedArray, form: CastForm, options: Options
) -> list[ShapedArray]:
  del options
  shapes = form.shapes(x.shape, *(s.shape[0] for s in sizes))
  # From the operand, so that inside shard_map the results vary as it does.
  return [
    x.update(
      shape=shape,
      dtype=dtype,
      weak_type=False,
      sharding=x.sharding.update(spec=PartitionSpec(*(None,) * len(shape))),
    )
    for shape, dtype in zip(shapes, form.dtypes(len(shapes)), strict=True)
  ]


def _jvp(
  primals: Sequence[jax.Array],
  tangents: Sequence[Any],
  *,
  form: CastForm,
  options: Options,
) -> tuple[list[jax.Array], list[Any]]:
  """Derives the reference; what comes out is no more meaningful than that."""
  results = _bind(*primals, form=form, options=options)
  if isinstance(tangents[0], ad.Zero):
    zeros = [ad.Zero(jax.typeof(r).to_tangent_aval()) for r in results]
    return results, zeros

  def reference(x: jax.Array) -> list[jax.Array]:
    return cast_reference.cast(x, *primals[1:], form=form)

  _, derived = jax.jvp(reference, primals[:1], tangents[:1])
  return results, derived


def _batch(
  operands: Sequence[jax.Array],
  dims: Sequence[int | None],
  *,
  form: CastForm,
  options: Options,
) -> tuple[list[jax.Array], list[int]]:
  """One launch, or for groups one per element."""
  bind = functools.partial(_bind, form=form, options=options)
  moved = [
    x if d is None else jnp.moveaxis(x, d, 0)
    for x, d in zip(operands, dims, strict=True)
  ]
  if form.kind != "grouped":
    results = bind(*moved)
    return results, [0] * len(results)
  batched = [x for x, d in zip(moved, dims, strict=True) if d is not None]

  def one(elements: list[jax.Array]) -> list[jax.Array]:
    rest = iter(elements)
    return bind(
      *(
        x if d is None else next(rest) for x, d in zip(moved, dims, strict=True)
      )
    )

  results = jax.lax.map(one, batched)
  return results, [0] * len(results)


cast_p.def_impl(functools.partial(xla.apply_primitive, cast_p))
ad.primitive_jvps[cast_p] = _jvp
batching.primitive_batchers[cast_p] = _batch
mlir.register_lowering(cast_p, cast_lowering.lower_default)
mlir.register_lowering(cast_p, cast_lowering.lower_cuda, platform="cuda")
