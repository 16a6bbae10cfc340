"""What one device runs for the largest MQA logits: kernels or jax.numpy."""

from typing import Any

from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_mqa_topk, topk_reference
from jax_deepgemm.primitives.missing_kernel import (
  check_reference_will_do,
  reference_as_way_out,
)
from jax_deepgemm.primitives.target import target_device, use_kernel
from jax_deepgemm.primitives.topk_form import TopkForm

_REFERENCE = mlir.lower_fun(topk_reference.mqa_topk, multiple_results=True)
_KERNELS = mlir.lower_fun(sm90_mqa_topk.run, multiple_results=True)


def lower_default(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  form: TopkForm,
  options: Options,
) -> Any:
  """Lowers for any platform but CUDA.

  Raises:
    NotImplementedError: `options.implementation` is "kernel".
  """
  check_reference_will_do("mqa_topk", ctx, options)
  return _REFERENCE(ctx, *operands, form=form)


def lower_cuda(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  form: TopkForm,
  options: Options,
) -> Any:
  """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

  Raises:
    NotImplementedError: `options.implementation` is "kernel" and the GPU is not
      Hopper, or there is no kernel for the sizes.
  """
  device = target_device(options)
  if not use_kernel(options, device):
    return _REFERENCE(ctx, *operands, form=form)
  with reference_as_way_out():
    return _KERNELS(ctx, *operands, form=form, options=options, device=device)
