"""What one device runs for the fp8 GEMM: the kernel or the jnp reference."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import reference, sm90_fp8_gemm
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
  if options.implementation == "kernel":
    raise NotImplementedError(
      f"fp8_gemm has no kernel for {platform_names(ctx)}, only for CUDA; use"
      " options(implementation='auto') or"
      " options(implementation='reference') to compute it with jax.numpy"
    )
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

  try:
    return lower_grouped(kernel)(ctx, *operands)
  except NotImplementedError as error:
    raise NotImplementedError(
      f"{error}; options(implementation='reference') computes it with jax.numpy"
    ) from error


def _lower_reference(
  ctx: mlir.LoweringRuleContext, *operands: mlir.ir.Value, **params: Any
) -> Any:
  function = functools.partial(reference.fp8_gemm, **params)
  return lower_grouped(function)(ctx, *operands)


def platform_names(ctx: mlir.LoweringRuleContext) -> str:
  """Returns the platforms that a rule lowers for, for messages."""
  platforms = ctx.platforms or ctx.module_context.platforms
  return " and ".join(platforms)
