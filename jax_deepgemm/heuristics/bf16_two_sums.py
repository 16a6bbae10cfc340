"""BF16 configurations that have the sums of two tiles in registers."""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  legal_configs,
  num_tiles,
)

_MAX_SUMS = 104  # Registers of a tile's sums; the limit comes from trying.


def legal_two_sums_configs(
  problem: Bf16GemmProblem, device: Device
) -> Iterator[Sm90Bf16GemmConfig]:
  """Returns those of `legal_configs` whose kernel has this form too.

  C would need registers of its own, and with one or three warpgroups there is
  little to gain.
  """
  if problem.with_c:
    return
  for config in legal_configs(problem, device):
    sums = config.num_slabs * config.block_n // 2
    if config.num_math_warpgroups != 2 or sums > _MAX_SUMS:
      continue
    if _has_next_tile(config, problem, device):
      yield dataclasses.replace(config, two_sums=True)


def _has_next_tile(
  config: Sm90Bf16GemmConfig, problem: Bf16GemmProblem, device: Device
) -> bool:
  """Whether a multiprocessor has a tile behind which to store another."""
  tiles_m, tiles_n = num_tiles(problem, config)
  num_clusters = tiles_m * tiles_n * problem.num_groups
  return num_clusters * config.cluster_size > device.num_sms
