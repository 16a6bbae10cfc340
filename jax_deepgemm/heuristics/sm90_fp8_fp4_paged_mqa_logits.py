"""Configurations of the Hopper paged MQA logits of FP4 vectors."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import ROW_BYTES, align
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import (
  BLOCK_KV,
  MAX_COLUMNS,
  PagedMqaProblem,
  Sm90Fp8PagedMqaLogitsConfig,
  banks,
  can_count,
  refusal,
)

# Bytes of pages that are on their way: what the memory needs, and a third more
# while tables and lengths are read.
_BYTES_IN_FLIGHT = 64 * 1024
_FEWEST_BYTES = 32 * 1024
# Pairs of row and head that are multiplied with a tile while it is there: half
# as many take the tensor cores as long as the memory to bring the tile.
_MOST_COLUMNS = 256
# Columns of a product at most, warpgroups that multiply and that decode, the
# fewest heads, and stages of decoded tiles: what fits a thread's registers. A
# scheduler that has two warps that decode fills the one's waiting with the
# other's work. A stage is always the same warpgroup's and the same decoding
# warp's: three warpgroups beside eight such warps would need 24.
_TILES = (
  (128, 2, 2, 16, 8),
  (128, 2, 1, 16, 8),
  (64, 2, 2, 8, 8),
  (64, 3, 1, 16, 12),
  (64, 2, 1, 8, 8),
)
_CODES_PER_BYTE = 2


@dataclasses.dataclass(frozen=True)
class Sm90Fp8Fp4PagedMqaLogitsConfig(Sm90Fp8PagedMqaLogitsConfig):
  """Mirrors the struct in cuda/kernels/, ..._fp4_paged_mqa_logits_types.cuh.

  num_stages are those of decoded tiles.
  """

  num_packed_stages: int
  num_decode_warps: int

  @property
  def vector_bytes(self) -> int:
    """Bytes of a packed vector."""
    return self.head_dim // _CODES_PER_BYTE

  @property
  def page_bytes(self) -> int:
    """Bytes of a page: keys, then exponents."""
    return self.block_kv * (self.vector_bytes + 4)

  @property
  def num_threads(self) -> int:
    """Threads of a block."""
    return super().num_threads + 32 * self.num_decode_warps

  @property
  def packed_bytes(self) -> int:
    """Bytes of the stages of what is loaded."""
    columns = self.max_banks * self.bank_n
    queries = columns * self.vector_bytes + align(4 * columns, 128)
    queries += 4 * columns + self.block_q * ROW_BYTES + 16 + 16
    keys = BLOCK_KV * (self.vector_bytes + 4) + 16
    return align(queries, 1024) + self.num_packed_stages * align(keys, 1024)

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    warps = self.num_threads // 32
    packed = align(self.packed_bytes + 2 * 4 * warps + 8 + 4, 1024)
    return super().smem_bytes + packed


def legal_fp4_paged_mqa_configs(
  problem: PagedMqaProblem, device: Device
) -> Iterator[Sm90Fp8Fp4PagedMqaLogitsConfig]:
  """Returns every configuration that computes `problem` on `device`.

  None if the problem has more tiles than the kernel can count.
  """
  found = set()
  # Decoding needs the pipe of maxima: fewest first.
  for max_columns, tile in itertools.product(sorted(MAX_COLUMNS), _TILES):
    most_n, warpgroups, decode_warpgroups, fewest_heads, stages = tile
    bank_n, max_banks = banks(problem, most_n, _MOST_COLUMNS)
    decode_warps = 4 * decode_warpgroups
    tile_bytes = BLOCK_KV * (problem.head_dim // _CODES_PER_BYTE + 4)
    config = Sm90Fp8Fp4PagedMqaLogitsConfig(
      num_heads=problem.num_heads,
      head_dim=problem.head_dim,
      block_kv=problem.block_kv,
      bank_n=bank_n,
      max_banks=max_banks,
      num_math_warpgroups=warpgroups,
      num_stages=stages,
      max_columns=max_columns,
      is_varlen=problem.is_varlen,
      float32_out=problem.float32_out,
      num_packed_stages=align(-(-_BYTES_IN_FLIGHT // tile_bytes), decode_warps),
      num_decode_warps=decode_warps,
    )
    while config.smem_bytes > device.smem_bytes:
      fewer = config.num_packed_stages - decode_warps
      config = dataclasses.replace(config, num_packed_stages=fewer)
    fits = bank_n < 64 or problem.num_heads >= fewest_heads
    fits &= config.num_packed_stages * tile_bytes >= _FEWEST_BYTES
    if fits and config not in found and can_count(problem, config):
      found.add(config)
      yield config


def choose(
  problem: PagedMqaProblem, device: Device
) -> Sm90Fp8Fp4PagedMqaLogitsConfig:
  """Returns the configuration that computes `problem`.

  The widest products, unless narrower ones multiply fewer rows that are not
  there; then the most warpgroups.

  Raises:
    NotImplementedError: the problem is too large for the kernel to count.
  """
  configs = legal_fp4_paged_mqa_configs(problem, device)

  def cost(config: Sm90Fp8Fp4PagedMqaLogitsConfig) -> tuple[int, ...]:
    columns = config.max_banks * config.bank_n
    return columns, config.max_banks, -config.num_threads

  config = min(configs, key=cost, default=None)  # Of equals the first.
  if config is None:
    raise refusal("fp8_fp4_paged_mqa_logits", problem)
  return config
