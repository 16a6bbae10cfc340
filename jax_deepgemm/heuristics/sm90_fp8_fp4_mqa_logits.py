"""Configurations of the Hopper MQA logits of FP4 vectors."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import (
  MAX_COLUMNS,
  ROW_BYTES,
  MqaLogitsProblem,
  Sm90Fp8MqaLogitsConfig,
  align,
  can_count,
  refusal,
)

_DECODE_WARPS = 4
_MOST_STAGES = 8
# Columns of a product, and the fewest and most heads. Two warpgroups multiply:
# one decodes, and registers are left for no more. Sums of 32 rows of 8 heads
# take more of them than there are beside two banks of 128.
_TILES = ((128, 16, 64), (64, 8, 64))


class Sm90Fp8Fp4MqaLogitsConfig(Sm90Fp8MqaLogitsConfig):
  """The same struct; see cuda/kernels/sm90_fp8_fp4_mqa_logits_types.cuh."""

  @property
  def num_warps(self) -> int:
    """Warps of a block."""
    return super().num_warps + _DECODE_WARPS

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    columns, code_bytes = 2 * self.bank_n, self.head_dim // 2
    rows = self.block_q * ROW_BYTES
    queries = align(columns * (code_bytes + 8) + rows + 8 + 16, 1024)
    keys = align(self.block_kv * (code_bytes + 4) + 16, 1024)
    stages = queries + self.num_stages * keys
    stages += 8 * self.num_warps + 16 + 4
    return super().smem_bytes + align(stages, 1024)


def legal_fp4_mqa_configs(
  problem: MqaLogitsProblem, device: Device
) -> Iterator[Sm90Fp8Fp4MqaLogitsConfig]:
  """Returns every configuration that computes `problem` on `device`.

  None if the problem has more tiles than the kernel can count.
  """
  # Decoding needs the pipe of maxima.
  for max_columns, tile in itertools.product(sorted(MAX_COLUMNS), _TILES):
    bank_n, fewest_heads, most_heads = tile
    config = Sm90Fp8Fp4MqaLogitsConfig(
      num_heads=problem.num_heads,
      head_dim=problem.head_dim,
      bank_n=bank_n,
      num_math_warpgroups=2,
      num_stages=_MOST_STAGES,
      max_columns=max_columns,
      float32_out=problem.float32_out,
    )
    while config.smem_bytes > device.smem_bytes:
      config = dataclasses.replace(config, num_stages=config.num_stages - 1)
    has_tile = fewest_heads <= problem.num_heads <= most_heads
    if has_tile and can_count(problem, config):
      yield config


def choose(
  problem: MqaLogitsProblem, device: Device
) -> Sm90Fp8Fp4MqaLogitsConfig:
  """Returns the configuration that computes `problem`: the widest product.

  Raises:
    NotImplementedError: the problem is too large for the kernel to count.
  """
  for config in legal_fp4_mqa_configs(problem, device):
    return config
  raise refusal("fp8_fp4_mqa_logits", problem)
