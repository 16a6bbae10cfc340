"""What one device runs for MQA logits: the kernel or jax.numpy."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  mqa_reference,
  sm90_fp8_fp4_mqa_logits,
  sm90_fp8_mqa_logits,
)
from jax_deepgemm.primitives.missing_kernel import (
  check_reference_will_do,
  reference_as_way_out,
)
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm
from jax_deepgemm.primitives.target import target_device, use_kernel


@dataclasses.dataclass(frozen=True)
class MqaLowering:
  """The rules of one operation.

  Attributes:
    name: of the operation, for messages.
    reference: computes it in jax.numpy.
    kernel: computes it on a Hopper GPU.
  """

  name: str
  reference: Callable[..., jax.Array]
  kernel: Callable[..., jax.Array]

  def default(
    self,
    ctx: mlir.LoweringRuleContext,
    *operands: mlir.ir.Value,
    form: MqaForm | PagedMqaForm,
    options: Options,
  ) -> Any:
    """Lowers for any platform but CUDA.

    Raises:
      NotImplementedError: `options.implementation` is "kernel".
    """
    check_reference_will_do(self.name, ctx, options)
    return _lower(self.reference, ctx, operands, form=form)

  def cuda(
    self,
    ctx: mlir.LoweringRuleContext,
    *operands: mlir.ir.Value,
    form: MqaForm | PagedMqaForm,
    options: Options,
  ) -> Any:
    """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

    Raises:
      NotImplementedError: `options.implementation` is "kernel" and the GPU is
        not Hopper, or there is no kernel for the sizes.
    """
    device = target_device(options)
    if not use_kernel(options, device):
      return _lower(self.reference, ctx, operands, form=form)
    settings = {"form": form, "options": options, "device": device}
    with reference_as_way_out():
      return _lower(self.kernel, ctx, operands, **settings)


def _lower(
  function: Any,
  ctx: mlir.LoweringRuleContext,
  operands: tuple[mlir.ir.Value, ...],
  **settings: Any,
) -> Any:
  lower = mlir.lower_fun(function, multiple_results=False)
  return lower(ctx, *operands, **settings)


FP8 = MqaLowering(
  "fp8_mqa_logits", mqa_reference.fp8_mqa_logits, sm90_fp8_mqa_logits.run
)
FP4 = MqaLowering(
  "fp8_fp4_mqa_logits",
  mqa_reference.fp8_fp4_mqa_logits,
  sm90_fp8_fp4_mqa_logits.run,
)
