"""What one device runs for the fp8 GEMM: the kernel or the jnp reference."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import reference, sm90_fp8_gemm
from jax_deepgemm.primitives.missing_kernel import (
  check_reference_will_do,
  reference_as_way_out,
)
from jax_deepgemm.primitives.target import target_device, use_kernel


def lower_grouped(function: Callable[..., jax.Array]) -> Callable[..., Any]:
  """Returns the lowering rule of `function`, which takes a group dimension.

  Operands without one get it here, where a reshape is free; the public
  functions leave it out, as vmap would move batch dimensions past it.
  """

  def compute(*operands: jax.Array) -> jax.Array:
    if operands[0].ndim == 3:
      return function(*operands)
    return jnp.squeeze(function(*(x[None] for x in operands)), 0)

  return mlir.lower_fun(compute, multiple_results=False)


def lower_default(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  options: Options,
  **params: Any,
) -> Any:
  """Lowers for any platform but CUDA.

  Raises:
    NotImplementedError: `options.implementation` is "kernel".
  """
  check_reference_will_do("fp8_gemm", ctx, options)
  return _lower_reference(ctx, *operands, **params)


def lower_cuda(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  options: Options,
  **params: Any,
) -> Any:
  """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

  Raises:
    NotImplementedError: `options.implementation` is "kernel" and the GPU is
      not Hopper, or the GPU is Hopper and there is no kernel for the recipe.
  """
  device = target_device(options)
  if not use_kernel(options, device):
    return _lower_reference(ctx, *operands, **params)

  def kernel(
    a: jax.Array,
    sfa: jax.Array,
    b: jax.Array,
    sfb: jax.Array,
    c: jax.Array | None = None,
  ) -> jax.Array:
    return sm90_fp8_gemm.run(
      a, sfa, b, sfb, c, options=options, device=device, **params
    )

  with reference_as_way_out():
    return lower_grouped(kernel)(ctx, *operands)


def _lower_reference(
  ctx: mlir.LoweringRuleContext, *operands: mlir.ir.Value, **params: Any
) -> Any:
  function = functools.partial(reference.fp8_gemm, **params)
  return lower_grouped(function)(ctx, *operands)
