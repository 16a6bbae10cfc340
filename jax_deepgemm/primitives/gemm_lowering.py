"""What one device runs for a GEMM: the kernel or the jnp reference."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives.missing_kernel import (
  check_reference_will_do,
  reference_as_way_out,
)
from jax_deepgemm.primitives.target import target_device, use_kernel

Function = Callable[..., jax.Array]


def lower_grouped(function: Function) -> Callable[..., Any]:
  """Returns the lowering rule of `function`, which takes a group dimension.

  Operands without one get it here, where a reshape is free; the public
  functions leave it out, as vmap would move batch dimensions past it.
  """

  def compute(*operands: jax.Array) -> jax.Array:
    if operands[0].ndim == 3:
      return function(*operands)
    return jnp.squeeze(function(*(x[None] for x in operands)), 0)

  return mlir.lower_fun(compute, multiple_results=False)


@dataclasses.dataclass(frozen=True)
class Lowering:
  """The lowering rules of one operation.

  Attributes:
    name: of the operation, for messages.
    kernel: takes operands with a group dimension, the primitive's parameters,
      `options` and `device`.
    reference: takes operands with a group dimension and the primitive's
      parameters.
  """

  name: str
  kernel: Function
  reference: Function

  def default(
    self,
    ctx: mlir.LoweringRuleContext,
    *operands: mlir.ir.Value,
    options: Options,
    **params: Any,
  ) -> Any:
    """Lowers for any platform but CUDA.

    Raises:
      NotImplementedError: `options.implementation` is "kernel".
    """
    check_reference_will_do(self.name, ctx, options)
    return self._lower_reference(ctx, *operands, **params)

  def cuda(
    self,
    ctx: mlir.LoweringRuleContext,
    *operands: mlir.ir.Value,
    options: Options,
    **params: Any,
  ) -> Any:
    """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

    Raises:
      NotImplementedError: `options.implementation` is "kernel" and the GPU is
        not Hopper, or the GPU is Hopper and the operation has no kernel for
        these parameters.
    """
    device = target_device(options)
    if not use_kernel(options, device):
      return self._lower_reference(ctx, *operands, **params)
    function = functools.partial(
      self.kernel, options=options, device=device, **params
    )
    with reference_as_way_out():
      return lower_grouped(function)(ctx, *operands)

  def _lower_reference(
    self, ctx: mlir.LoweringRuleContext, *operands: mlir.ir.Value, **params: Any
  ) -> Any:
    params.pop("memory", None)  # Where operands lie is no part of a value.
    function = functools.partial(self.reference, **params)
    return lower_grouped(function)(ctx, *operands)
