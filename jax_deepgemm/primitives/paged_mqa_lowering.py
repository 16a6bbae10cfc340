"""What one device runs for paged MQA logits: the kernel or jax.numpy."""

from typing import Any

from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  paged_mqa_reference,
  sm90_fp8_paged_mqa_logits,
)
from jax_deepgemm.primitives.missing_kernel import (
  check_reference_will_do,
  reference_as_way_out,
)
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm
from jax_deepgemm.primitives.target import target_device, use_kernel


def lower_default(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  form: PagedMqaForm,
  options: Options,
) -> Any:
  """Lowers for any platform but CUDA.

  Raises:
    NotImplementedError: `options.implementation` is "kernel".
  """
  check_reference_will_do("fp8_paged_mqa_logits", ctx, options)
  return _reference(ctx, *operands, form=form)


def lower_cuda(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  form: PagedMqaForm,
  options: Options,
) -> Any:
  """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

  Raises:
    NotImplementedError: `options.implementation` is "kernel" and the GPU is not
      Hopper, or there is no kernel for the sizes.
  """
  device = target_device(options)
  if not use_kernel(options, device):
    return _reference(ctx, *operands, form=form)
  with reference_as_way_out():
    return _kernel(ctx, *operands, form=form, options=options, device=device)


_reference = mlir.lower_fun(
  paged_mqa_reference.fp8_paged_mqa_logits, multiple_results=False
)
_kernel = mlir.lower_fun(sm90_fp8_paged_mqa_logits.run, multiple_results=False)
