"""What one device runs for the largest logits: kernels or jax.numpy."""

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

Pair = tuple[jax.Array, jax.Array]


class TopkLowering:
  """The rules of one operation.

  Attributes:
    name: of the operation, for messages.
  """

  def __init__(
    self,
    name: str,
    reference: Callable[..., Pair],
    kernels: Callable[..., Pair],
  ) -> None:
    self.name = name
    self._reference = mlir.lower_fun(reference, multiple_results=True)
    self._kernels = mlir.lower_fun(kernels, multiple_results=True)

  def default(
    self,
    ctx: mlir.LoweringRuleContext,
    *operands: mlir.ir.Value,
    form: Any,
    options: Options,
  ) -> Any:
    """Lowers for any platform but CUDA.

    Raises:
      NotImplementedError: `options.implementation` is "kernel".
    """
    check_reference_will_do(self.name, ctx, options)
    return self._reference(ctx, *operands, form=form)

  def cuda(
    self,
    ctx: mlir.LoweringRuleContext,
    *operands: mlir.ir.Value,
    form: Any,
    options: Options,
  ) -> Any:
    """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

    Raises:
      NotImplementedError: `options.implementation` is "kernel" and the GPU is
        not Hopper, or there is no kernel for the sizes.
    """
    device = target_device(options)
    if not use_kernel(options, device):
      return self._reference(ctx, *operands, form=form)
    with reference_as_way_out():
      return self._kernels(
        ctx, *operands, form=form, options=options, device=device
      )
