"""What one device runs for a cast: a kernel or the jnp reference."""

from typing import Any

import jax
from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  cast_reference,
  sm90_cast_rows,
  sm90_cast_tile,
)
from jax_deepgemm.primitives.cast_form import CastForm
from jax_deepgemm.primitives.target import target_device, use_kernel

_WAY_OUT = (
  "use options(implementation='auto') or options(implementation='reference')"
  " to compute it with jax.numpy"
)


def lower_default(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  form: CastForm,
  options: Options,
) -> Any:
  """Lowers for any platform but CUDA.

  Raises:
    NotImplementedError: `options.implementation` is "kernel".
  """
  if options.implementation == "kernel":
    platforms = ctx.platforms or ctx.module_context.platforms
    raise NotImplementedError(
      f"casts have no kernel for {' and '.join(platforms)}, only for CUDA;"
      f" {_WAY_OUT}"
    )
  return _lower_reference(ctx, *operands, form=form)


def lower_cuda(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  form: CastForm,
  options: Options,
) -> Any:
  """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

  Raises:
    NotImplementedError: `options.implementation` is "kernel" and the GPU is
      not Hopper, or there is no kernel for the form.
  """
  device = target_device(options)
  if not use_kernel(options, device) or _is_partitioned_by_xla(ctx):
    return _lower_reference(ctx, *operands, form=form)
  is_rows = form.kind in sm90_cast_rows.KINDS
  run = sm90_cast_rows if is_rows else sm90_cast_tile
  reason = run.missing(form, *ctx.avals_in)
  if reason is not None:
    if options.implementation == "kernel":
      raise NotImplementedError(f"no kernel casts {reason}; {_WAY_OUT}")
    return _lower_reference(ctx, *operands, form=form)

  def kernel(*arrays: jax.Array) -> list[jax.Array]:
    return run.run(*arrays, form=form, options=options, device=device)

  return mlir.lower_fun(kernel, multiple_results=True)(ctx, *operands)


def _is_partitioned_by_xla(ctx: mlir.LoweringRuleContext) -> bool:
  """Returns whether XLA may cut the program over several devices.

  It cannot cut a custom call and would gather the operand. The reference is
  what it cuts well; a cast is local to blocks.
  """
  context = ctx.module_context.axis_context
  if isinstance(context, mlir.ShardingContext):
    return context.num_devices > 1
  if isinstance(context, mlir.SPMDAxisContext):
    return not context.mesh.abstract_mesh.update_axis_types(
      dict.fromkeys(context.manual_axes, jax.sharding.AxisType.Manual)
    ).are_all_axes_manual
  return False


def _lower_reference(
  ctx: mlir.LoweringRuleContext, *operands: mlir.ir.Value, form: CastForm
) -> Any:
  def reference(*arrays: jax.Array) -> list[jax.Array]:
    return cast_reference.cast(*arrays, form=form)

  return mlir.lower_fun(reference, multiple_results=True)(ctx, *operands)
