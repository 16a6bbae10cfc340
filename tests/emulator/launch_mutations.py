"""Mistakes in what describes a launch, which the emulator must find."""

import dataclasses
from collections.abc import Callable

from jax_deepgemm.primitives.kernel_call import KernelCall

# Parameters of the FP8 GEMM, in order.
_A, _A_REST, _B, _, _, _, _SFA, _, _D = range(9)
_K_BLOCKS, _SFB_ROWS, _NUM_M = range(14, 17)


def _param(index: int, **changes: object) -> Callable[[KernelCall], KernelCall]:
  """Returns a function that changes fields of one parameter."""

  def change(kernel: KernelCall) -> KernelCall:
    params = list(kernel.params)
    fields = {
      name: value(getattr(params[index], name)) if callable(value) else value
      for name, value in changes.items()
    }
    params[index] = dataclasses.replace(params[index], **fields)
    return dataclasses.replace(kernel, params=tuple(params))

  return change


def _without_last(kernel: KernelCall) -> KernelCall:
  return dataclasses.replace(kernel, params=kernel.params[:-1])


def _small_memory(kernel: KernelCall) -> KernelCall:
  smem_bytes = kernel.smem_bytes - 4096
  return dataclasses.replace(kernel, smem_bytes=smem_bytes)


LAUNCH_MUTATIONS = {
  "a_not_swizzled": _param(_A, swizzle=0),
  "rest_of_a_too_large": _param(
    _A_REST, box=lambda box: (box[0], box[1] + 8, 1)
  ),
  "box_of_b_too_small": _param(_B, box=lambda box: (box[0], box[1] // 2, 1)),
  "k_blocks_missing": _param(_K_BLOCKS, value=lambda value: value - 1),
  "one_row_of_scales": _param(_SFB_ROWS, value=1),
  "tiles_missing": _param(_NUM_M, value=1),
  "d_too_large": _param(_D, dims=lambda dims: (dims[0], dims[1] + 1, 1)),
  "d_too_small": _param(_D, dims=lambda dims: (dims[0], dims[1] - 1, 1)),
  "scales_of_other_rows": _param(
    _SFA, strides=lambda strides: (strides[0] - 16, strides[1])
  ),
  "parameter_missing": _without_last,
  "too_little_memory": _small_memory,
}
