"""The casts to e4m3fn as a primitive: types, derivatives and batching."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla
from jax.sharding import PartitionSpec

from jax_deepgemm.alignment import align
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import cast_lowering, cast_reference
from jax_deepgemm.primitives.cast_form import CastForm
from jax_deepgemm.primitives.varying import to_common_varying

# The operand that all rows of a kernel have in common.
_SHARED_BY_ROWS = {CastSource.RMS_NORM: 1, CastSource.WEIGHTED_SWIGLU: 2}

cast_p = Primitive("cast_to_fp8")
cast_p.multiple_results = True


def cast(
  *operands: jax.Array, form: CastForm, options: Options
) -> list[jax.Array]:
  """Returns values and scales of x, in the layouts that `form` says.

  Args:
    *operands: those of `form.source`, as `Produced` says: for PLAIN x
      `[..., m, n]`, bfloat16, float16 or float32. For a grouped form, sizes
      `[g]` int32 follow.
    form: what is computed.
    options: in force when the public function was called.
  """
  return _bind(*to_common_varying(operands), form=form, options=options)


def _bind(
  *operands: jax.Array, form: CastForm, options: Options
) -> list[jax.Array]:
  """Binds, except where there is nothing to launch or XLA must place it."""
  sources, _ = form.split(operands)
  is_empty = any(0 in x.shape for x in sources)
  if is_empty or jax.typeof(operands[0]).sharding.mesh.explicit_axes:
    return _jitted_reference(*operands, form=form)
  return cast_p.bind(*operands, form=form, options=options)


_jitted_reference = jax.jit(cast_reference.cast, static_argnames="form")


@cast_p.def_abstract_eval
def _abstract_eval(
  *operands: ShapedArray, form: CastForm, options: Options
) -> list[ShapedArray]:
  del options
  x = operands[0]
  shapes = form.result_shapes(*(a.shape for a in operands))
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
  varied = [i for i, t in enumerate(tangents) if not isinstance(t, ad.Zero)]
  if not varied:
    zeros = [ad.Zero(jax.typeof(r).to_tangent_aval()) for r in results]
    return results, zeros

  def reference(*arrays: jax.Array) -> list[jax.Array]:
    operands = list(primals)
    for i, x in zip(varied, arrays, strict=True):
      operands[i] = x
    return cast_reference.cast(*operands, form=form)

  _, derived = jax.jvp(
    reference, [primals[i] for i in varied], [tangents[i] for i in varied]
  )
  return results, derived


def _batch(
  operands: Sequence[jax.Array],
  dims: Sequence[int | None],
  *,
  form: CastForm,
  options: Options,
) -> tuple[list[jax.Array], list[int]]:
  """One launch, or one per element where one cannot do it."""
  bind = functools.partial(_bind, form=form, options=options)
  if _is_between_rows_and_columns(form, operands, dims):
    return _cast_as_it_lies(operands[0], form, options)
  moved = [
    x if d is None else jnp.moveaxis(x, d, 0)
    for x, d in zip(operands, dims, strict=True)
  ]
  if not _needs_a_loop(form, [d is not None for d in dims]):
    results = bind(*_with_common_batch(form, moved, dims))
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


def _is_between_rows_and_columns(
  form: CastForm, operands: Sequence[jax.Array], dims: Sequence[int | None]
) -> bool:
  """Returns whether x is `[m, batch, n]`, with each row cast alone."""
  is_rows = form.kind == "rows" and form.source is CastSource.PLAIN
  return is_rows and tuple(dims) == (1,) and operands[0].ndim == 3


def _cast_as_it_lies(
  x: jax.Array, form: CastForm, options: Options
) -> tuple[list[jax.Array], list[int]]:
  """Returns what `_batch` does of x `[m, batch, n]`, which is not copied.

  To the kernel these are m matrices of `batch` rows. MN-major scales are made
  of theirs: a copy, too, but of few bytes.
  """
  rows = dataclasses.replace(form, mn_major=False)
  values, scales = _bind(x, form=rows, options=options)
  if not form.mn_major:
    return [values, scales], [1, 1]
  m = x.shape[0]
  scales = jnp.pad(
    scales.transpose(1, 2, 0), ((0, 0), (0, 0), (0, align(m, 4) - m))
  )
  return [values, scales], [1, 0]


def _needs_a_loop(form: CastForm, is_batched: Sequence[bool]) -> bool:
  """Returns whether one launch cannot cast a batch.

  Groups are those of one matrix; a kernel has one weight or clamp for all rows;
  and many gathers from one x would need copies of it.
  """
  if form.is_grouped:
    return True
  match form.source:
    case CastSource.GATHER:
      return not is_batched[0]
    case CastSource.RMS_NORM:
      return is_batched[1]
    case CastSource.WEIGHTED_SWIGLU:
      return is_batched[2]
    case _:
      return False


def _with_common_batch(
  form: CastForm, operands: Sequence[jax.Array], dims: Sequence[int | None]
) -> list[jax.Array]:
  """Returns the operands, all but what rows share with the batch in front."""
  size = next(
    x.shape[0] for x, d in zip(operands, dims, strict=True) if d is not None
  )
  shared = _SHARED_BY_ROWS.get(form.source)
  return [
    x if d is not None or i == shared else jnp.broadcast_to(x, (size, *x.shape))
    for i, (x, d) in enumerate(zip(operands, dims, strict=True))
  ]


cast_p.def_impl(functools.partial(xla.apply_primitive, cast_p))
ad.primitive_jvps[cast_p] = _jvp
batching.primitive_batchers[cast_p] = _batch
mlir.register_lowering(cast_p, cast_lowering.lower_default)
mlir.register_lowering(cast_p, cast_lowering.lower_cuda, platform="cuda")
