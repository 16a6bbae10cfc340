"""What the launches of all Hopper GEMMs share."""

from collections.abc import Iterable
from typing import Protocol

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import get_tma_aligned_size
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.jit import Recipe
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.kernel_call import (
  Buffer,
  KernelCall,
  Scalar,
  TensorMap,
)


class _Tile(Protocol):
  """What a configuration says of a cluster."""

  @property
  def cluster_size(self) -> int: ...

  @property
  def num_threads(self) -> int: ...


class _Result(Protocol):
  """What a problem says of D."""

  @property
  def n(self) -> int: ...

  @property
  def out_bytes(self) -> int: ...


def gemm_call(
  recipe: Recipe,
  tile: _Tile,
  options: Options,
  *,
  num_clusters: int,
  smem_bytes: int,
  params: Iterable[Buffer | Scalar | TensorMap],
) -> KernelCall:
  """Returns the launch of `num_clusters` clusters of a kernel.

  Args:
    recipe: the kernel.
    tile: its configuration.
    options: how to launch.
    num_clusters: how many, in a row.
    smem_bytes: dynamic shared memory of a block.
    params: the kernel's arguments in order.
  """
  return KernelCall(
    recipe=recipe,
    grid=(num_clusters * tile.cluster_size, 1, 1),
    cluster=(tile.cluster_size, 1, 1),
    threads=tile.num_threads,
    smem_bytes=smem_bytes,
    pdl=options.pdl,
    params=tuple(params),
    embed_cubin=options.embed_cubin,
  )


def persistent_clusters(
  num_tiles: int, tile: _Tile, device: Device, options: Options
) -> int:
  """Returns how many clusters share out `num_tiles` tiles of one each."""
  num_sms = options.num_sms or device.num_sms
  return min(num_sms // tile.cluster_size, num_tiles)


def d_pitch(problem: _Result) -> int:
  """Returns the elements from one row of C or D to the next."""
  return get_tma_aligned_size(problem.n, problem.out_bytes)


def result_dtype(float32_out: bool) -> jax.typing.DTypeLike:
  """Returns the dtype of D."""
  return jnp.float32 if float32_out else jnp.bfloat16


def rest_rows(m: int, box_rows: int) -> int:
  """Returns the rows of A in the last of boxes of `box_rows`, at least 1."""
  return (m - 1) % box_rows + 1


def cut_k_block(k: int, block_k: int) -> int:
  """Returns which K block K ends within, beyond all others if there is none."""
  return k // block_k if k % block_k else 2**31 - 1
