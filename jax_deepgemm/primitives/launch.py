"""Kernel launches as one custom call: the only way to the GPU."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir

from jax_deepgemm.primitives import attributes, kernel_library, launcher
from jax_deepgemm.primitives.kernel_call import Buffer as Buffer
from jax_deepgemm.primitives.kernel_call import KernelCall as KernelCall
from jax_deepgemm.primitives.kernel_call import Scalar as Scalar
from jax_deepgemm.primitives.kernel_call import TensorMap as TensorMap
from jax_deepgemm.primitives.target import process_device

TARGET_NAME = "jax_deepgemm_launch"

Results = tuple[tuple[tuple[int, ...], jnp.dtype], ...]

# What `jax.export.export(..., disabled_checks=...)` needs to take our programs.
DISABLE_JAX_EXPORT_CHECKS = (
  export.DisabledSafetyCheck.custom_call(TARGET_NAME),
)


def call(
  kernel_calls: tuple[KernelCall, ...],
  operands: Sequence[jax.Array],
  results: Sequence[jax.ShapeDtypeStruct],
  aliases: Mapping[int, int] | None = None,
  arenas: Sequence[int] = (),
) -> list[jax.Array]:
  """Returns the results of launching `kernel_calls` one after the other.

  Only CUDA programs can hold this; there it is one custom call.

  Args:
    kernel_calls: the launches.
    operands: buffers 0, 1, ... of the launches' parameters.
    results: shapes and dtypes of the buffers after the operands.
    aliases: operand index -> result index that shares its memory. XLA copies
      the operand first unless it is dead, so it is safe without donation.
    arenas: handles of symmetric buffers, the buffers after the results. XLA
      knows nothing of them: calls on one arena must depend on each other.
  """
  return kernel_call_p.bind(
    *operands,
    kernel_calls=tuple(kernel_calls),
    results=tuple((tuple(r.shape), r.dtype) for r in results),
    aliases=tuple(sorted((aliases or {}).items())),
    arenas=tuple(arenas),
  )


kernel_call_p = Primitive("jax_deepgemm_kernel_call")
kernel_call_p.multiple_results = True


@kernel_call_p.def_abstract_eval
def _abstract_eval(
  *operands: ShapedArray, results: Results, **params: Any
) -> list[ShapedArray]:
  del params
  # Inside shard_map the results vary over the axes that the operands vary over.
  like = max(operands, key=lambda aval: len(aval.manual_axis_type.varying))
  return [_like(like, shape, dtype) for shape, dtype in results]


def _like(
  aval: ShapedArray, shape: tuple[int, ...], dtype: jnp.dtype
) -> ShapedArray:
  spec = (None,) * len(shape)
  sharding = aval.sharding.update(spec=jax.sharding.PartitionSpec(*spec))
  return aval.update(
    shape=shape, dtype=dtype, weak_type=False, sharding=sharding
  )


def _lower_cuda(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  kernel_calls: tuple[KernelCall, ...],
  results: Results,
  aliases: tuple[tuple[int, int], ...],
  arenas: tuple[int, ...],
) -> Any:
  """Emits the custom call and starts compiling its kernels."""
  del results
  images = [
    kernel_library.library().resolve(kernel.recipe)
    if kernel.embed_cubin
    else None
    for kernel in kernel_calls
  ]
  # A machine that only lowers may have no compiler and never needs the kernel.
  if process_device() is not None:
    launcher.require()
    for kernel, image in zip(kernel_calls, images, strict=True):
      if image is None:
        kernel_library.library().prefetch(kernel.recipe)
  rule = jax.ffi.ffi_lowering(TARGET_NAME, operand_output_aliases=dict(aliases))
  values = attributes.of_call(kernel_calls, images, arenas)
  return rule(ctx, *operands, **values)


mlir.register_lowering(kernel_call_p, _lower_cuda, platform="cuda")
