"""Launches of kernels whose thread blocks work alone."""

from collections.abc import Iterable
from typing import Protocol

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.jit import Recipe
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.kernel_call import (
  Buffer,
  KernelCall,
  Scalar,
  TensorMap,
)


class _Config(Protocol):
  """What a configuration says of a block."""

  @property
  def num_threads(self) -> int: ...

  @property
  def smem_bytes(self) -> int: ...


def block_call(
  recipe: Recipe,
  config: _Config,
  options: Options,
  *,
  num_blocks: int,
  params: Iterable[Buffer | Scalar | TensorMap],
) -> KernelCall:
  """Returns the launch of `num_blocks` blocks in a row, without clusters.

  Args:
    recipe: the kernel.
    config: its configuration.
    options: how to launch.
    num_blocks: how many.
    params: the kernel's arguments in order.
  """
  return KernelCall(
    recipe=recipe,
    grid=(num_blocks, 1, 1),
    cluster=(1, 1, 1),
    threads=config.num_threads,
    smem_bytes=config.smem_bytes,
    pdl=options.pdl,
    params=tuple(params),
    embed_cubin=options.embed_cubin,
  )


def one_per_sm(device: Device, options: Options) -> int:
  """Returns the multiprocessors that a kernel may use."""
  return options.num_sms or device.num_sms
