"""Which configurations of GEMMs with swapped operands are legal.

A kernel says which sizes and forms it has; what fits on a device is the same
for all of them.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.swapped_tile import (
  SwappedProblem,
  SwappedTile,
  cta_stages,
  num_ctas,
)

_RESERVED_SMEM = 1024  # Bytes of shared memory that the system takes per CTA.
_NUM_SPLITS = (1, 2, 4, 8)  # A cluster of 8 CTAs fits every Hopper GPU.

_Config = TypeVar("_Config", bound=SwappedTile)


def tiles(
  m: int, block_ms: Sequence[int], stage_k_blocks: Sequence[int]
) -> Iterator[dict[str, Any]]:
  """Returns the fields of `SwappedTile` to try, still without stages.

  None if the problem has more rows than the kernel takes.

  Args:
    m: rows of A.
    block_ms: those that the kernel has, in order.
    stage_k_blocks: blocks of K that it may load together.
  """
  if m > block_ms[-1]:
    return
  block_m = min(size for size in block_ms if size >= m)
  shapes = itertools.product(
    (1, 2),  # num_math_warpgroups.
    stage_k_blocks,
    _NUM_SPLITS,
    (1, 2, 3, 4),  # ctas_per_sm.
    (True, False),  # evict_first.
  )
  for warpgroups, blocks, num_splits, ctas_per_sm, evict_first in shapes:
    yield {
      "block_m": block_m,
      "num_math_warpgroups": warpgroups,
      "num_stages": 0,
      "stage_k_blocks": blocks,
      "num_splits": num_splits,
      "ctas_per_sm": ctas_per_sm,
      "evict_first": evict_first,
    }


def with_products(
  configs: Iterable[_Config], registers: Callable[[_Config, int], int]
) -> Iterator[_Config]:
  """Returns those of `configs` that registers allow a product in flight.

  Args:
    configs: with a field mma_k_blocks, which gets the most of a stage's
      products that may be in flight.
    registers: that a thread needs with so many of them.
  """
  for config in configs:
    for count in (4, 2, 1):
      fits = registers(config, count) <= config.max_registers
      if config.stage_k_blocks % count == 0 and fits:
        yield dataclasses.replace(config, mma_k_blocks=count)
        break


def with_stages(
  configs: Iterable[_Config],
  problem: SwappedProblem,
  device: Device,
  block_k: int,
  barrier_bytes: int = 0,
  k_blocks_ahead: int | None = None,
) -> Iterator[_Config]:
  """Returns those of `configs` that are of use, with the stages that fit.

  Args:
    configs: whose forms the kernel has.
    problem: what to compute.
    device: what computes it.
    block_k: columns of a block of K.
    barrier_bytes: of a stage's barriers, if they do not lie in it.
    k_blocks_ahead: how many a CTA that walks tiles loads ahead at most; None
      for those of its only tile.
  """
  for config in configs:
    if config.num_splits > device.num_sms:
      continue
    if not _shares_out(problem, config, block_k):
      continue
    stage_bytes = config.stage_bytes + barrier_bytes
    work = cta_stages(problem, config)
    if k_blocks_ahead is not None:
      work = k_blocks_ahead // config.stage_k_blocks
    num_stages = _stages_that_fit(config, device, stage_bytes, work)
    if num_stages == 0:
      continue
    config = dataclasses.replace(config, num_stages=num_stages)
    if config.smem_bytes <= _smem_of_cta(device, config):
      yield config


def fit_launch(
  configs: Iterable[_Config],
  problem: SwappedProblem,
  device: Device,
  *,
  may_wait: bool,
  splits: bool,
  ctas_of: Callable[[Any, _Config], int] = num_ctas,
) -> Iterator[_Config]:
  """Returns those whose CTAs fit one to a multiprocessor, unless `may_wait`.

  The kernels do not walk tiles: with more CTAs it would not be known how many
  multiprocessors they take. Without `splits`, those that do not split.
  """
  for config in configs:
    if config.num_splits > 1 and not splits:
      continue
    if may_wait or ctas_of(problem, config) <= device.num_sms:
      yield config


def _shares_out(
  problem: SwappedProblem, config: SwappedTile, block_k: int
) -> bool:
  """Whether every CTA gets a stage, and stages are what TMA can load."""
  stages = -(-problem.num_k_blocks // config.stage_k_blocks)
  if stages < config.num_splits:
    return False
  # Boxes of several K blocks are made of whole ones.
  whole_blocks = problem.k // block_k
  return config.stage_k_blocks == 1 or whole_blocks >= config.stage_k_blocks


def _smem_of_cta(device: Device, config: SwappedTile) -> int:
  """Returns the bytes of shared memory that a CTA can have."""
  all_of_sm = device.smem_bytes + _RESERVED_SMEM
  return all_of_sm // config.ctas_per_sm - _RESERVED_SMEM


def _stages_that_fit(
  config: SwappedTile, device: Device, stage_bytes: int, work: int
) -> int:
  """Returns how many stages a CTA has, or 0 if they are too few.

  As many as there is work for: what is not allocated another CTA can have.
  """
  free = _smem_of_cta(device, config) - config.exchange_bytes
  num_stages = min(free // stage_bytes, work)
  return num_stages if num_stages >= min(2, work) else 0
