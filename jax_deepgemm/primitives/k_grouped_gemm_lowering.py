"""What one device runs for a K-grouped GEMM: the kernel or jax.numpy."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import mlir

from jax_deepgemm.options import Options
from jax_deepgemm.primitives.missing_kernel import (
  check_reference_will_do,
  reference_as_way_out,
)
from jax_deepgemm.primitives.target import target_device, use_kernel


@dataclasses.dataclass(frozen=True)
class Rules:
  """How a primitive is computed.

  Attributes:
    reference: in jax.numpy, of the primitive's operands and `out_dtype`.
    kernel: likewise, with `options` and `device` besides `out_dtype`.
  """

  reference: Callable[..., jax.Array]
  kernel: Callable[..., jax.Array]


def register(primitive: Primitive, rules: Rules) -> None:
  """Registers the lowerings of `primitive`, for CUDA and for the rest."""
  mlir.register_lowering(
    primitive, functools.partial(_lower_default, primitive.name, rules)
  )
  mlir.register_lowering(
    primitive, functools.partial(_lower_cuda, rules), platform="cuda"
  )


def _lower_default(
  name: str,
  rules: Rules,
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  out_dtype: np.dtype,
  options: Options,
) -> Any:
  check_reference_will_do(name, ctx, options)
  return _lower(rules.reference, ctx, operands, out_dtype=out_dtype)


def _lower_cuda(
  rules: Rules,
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  out_dtype: np.dtype,
  options: Options,
) -> Any:
  device = target_device(options)
  if not use_kernel(options, device):
    return _lower(rules.reference, ctx, operands, out_dtype=out_dtype)
  settings = {"out_dtype": out_dtype, "options": options, "device": device}
  with reference_as_way_out():
    return _lower(rules.kernel, ctx, operands, **settings)


def _lower(
  function: Callable[..., jax.Array],
  ctx: mlir.LoweringRuleContext,
  operands: tuple[mlir.ir.Value, ...],
  **settings: Any,
) -> Any:
  lower = mlir.lower_fun(function, multiple_results=False)
  return lower(ctx, *operands, **settings)
