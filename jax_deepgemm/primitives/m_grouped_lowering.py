"""What one device runs for an m-grouped GEMM: the kernel or the reference."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives.missing_kernel import (
  check_reference_will_do,
  reference_as_way_out,
)
from jax_deepgemm.primitives.target import target_device, use_kernel

Compute = Callable[..., jax.Array]


def lower_default(
  name: str,
  reference: Compute,
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  options: Options,
  **params: Any,
) -> Any:
  """Lowers for any platform but CUDA.

  Args:
    name: of the operation, for messages.
    reference: computes it in jax.numpy.
    ctx: of the lowering.
    *operands: of the primitive.
    options: in force at the call.
    **params: the other parameters of the primitive.

  Raises:
    NotImplementedError: `options.implementation` is "kernel".
  """
  check_reference_will_do(name, ctx, options)
  return _lower_reference(reference, ctx, *operands, **params)


def lower_cuda(
  reference: Compute,
  kernel: Compute,
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  options: Options,
  **params: Any,
) -> Any:
  """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

  Args:
    reference: computes it in jax.numpy.
    kernel: computes it as a custom call.
    ctx: of the lowering.
    *operands: of the primitive.
    options: in force at the call.
    **params: the other parameters of the primitive.

  Raises:
    NotImplementedError: `options.implementation` is "kernel" and the GPU is
      not Hopper, or it is and there is no such kernel.
  """
  device = target_device(options)
  if not use_kernel(options, device):
    return _lower_reference(reference, ctx, *operands, **params)
  run = functools.partial(kernel, options=options, device=device, **params)
  with reference_as_way_out():
    return mlir.lower_fun(run, multiple_results=False)(ctx, *operands)


def _lower_reference(
  reference: Compute,
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  expected_m: int | None,
  zero_padding: bool,
  **params: Any,
) -> Any:
  """Lowers the reference; its rows of no group are zero anyway."""
  del expected_m, zero_padding
  function = functools.partial(reference, **params)
  return mlir.lower_fun(function, multiple_results=False)(ctx, *operands)
