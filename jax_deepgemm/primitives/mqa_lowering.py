"""What one device runs for MQA logits: the kernel or jax.numpy."""

from typing import Any

from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import mqa_reference, sm90_fp8_mqa_logits
from jax_deepgemm.primitives.missing_kernel import (
  check_reference_will_do,
  reference_as_way_out,
)
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.primitives.target import target_device, use_kernel


def lower_default(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  form: MqaForm,
  options: Options,
) -> Any:
  """Lowers for any platform but CUDA.

  Raises:
    NotImplementedError: `options.implementation` is "kernel".
  """
  check_reference_will_do("fp8_mqa_logits", ctx, options)
  return _lower(mqa_reference.fp8_mqa_logits, ctx, operands, form=form)


def lower_cuda(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  form: MqaForm,
  options: Options,
) -> Any:
  """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

  Raises:
    NotImplementedError: `options.implementation` is "kernel" and the GPU is not
      Hopper, or there is no kernel for the sizes.
  """
  device = target_device(options)
  if not use_kernel(options, device):
    return _lower(mqa_reference.fp8_mqa_logits, ctx, operands, form=form)
  settings = {"form": form, "options": options, "device": device}
  with reference_as_way_out():
    return _lower(sm90_fp8_mqa_logits.run, ctx, operands, **settings)


def _lower(
  function: Any,
  ctx: mlir.LoweringRuleContext,
  operands: tuple[mlir.ir.Value, ...],
  **settings: Any,
) -> Any:
  lower = mlir.lower_fun(function, multiple_results=False)
  return lower(ctx, *operands, **settings)
