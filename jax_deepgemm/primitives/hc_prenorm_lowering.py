"""What one device runs for a product with sums of squares."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import hc_prenorm_reference, sm90_hc_prenorm_gemm
from jax_deepgemm.primitives.missing_kernel import check_reference_will_do
from jax_deepgemm.primitives.target import target_device, use_kernel

Pair = Sequence[jax.Array]


def default(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  options: Options,
  num_splits: int | None,
) -> Any:
  """Lowers for any platform but CUDA.

  Raises:
    NotImplementedError: `options.implementation` is "kernel".
  """
  check_reference_will_do("tf32_hc_prenorm_gemm", ctx, options)
  return _lower_reference(ctx, *operands, num_splits=num_splits)


def cuda(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  options: Options,
  num_splits: int | None,
) -> Any:
  """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

  Raises:
    NotImplementedError: `options.implementation` is "kernel" and the GPU is
      not Hopper.
  """
  device = target_device(options)
  if not use_kernel(options, device):
    return _lower_reference(ctx, *operands, num_splits=num_splits)

  def kernel(a: jax.Array, b: jax.Array) -> Pair:
    return sm90_hc_prenorm_gemm.run(
      a, b, num_splits=num_splits, options=options, device=device
    )

  return lower_grouped(kernel)(ctx, *operands)


def lower_grouped(function: Callable[..., Pair]) -> Callable[..., Any]:
  """Returns the lowering rule of `function`, which takes a group dimension.

  Operands without one get it here, where a reshape is free.
  """

  def compute(a: jax.Array, b: jax.Array) -> Pair:
    if a.ndim == 3:
      return function(a, b)
    return [x.squeeze(1) for x in function(a[None], b[None])]

  return mlir.lower_fun(compute, multiple_results=True)


def _lower_reference(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  num_splits: int | None,
) -> Any:
  def reference(a: jax.Array, b: jax.Array) -> Pair:
    return hc_prenorm_reference.hc_prenorm_gemm(a, b, num_splits=num_splits)

  return mlir.lower_fun(reference, multiple_results=True)(ctx, *operands)
