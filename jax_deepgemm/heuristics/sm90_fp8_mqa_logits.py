"""Problems and configurations of the Hopper MQA logits."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device

_NUM_QUERY_STAGES = 2
_FILL_WARPS = 3
_MOST_STAGES = 8
ROW_BYTES = 16  # RowTarget in cuda/kernels/sm90_fp8_mqa_logits_types.cuh.
# A lane of the loading warp looks at one row of a block.
_MOST_BLOCK_Q = 32
# What the kernel counts in 32 bits.
_MOST_TILES = 2**30 - 1  # Three units of cost each, at most.
_MOST_COLUMNS = 2**31 - 1
# Columns of a product, math warpgroups, and the fewest heads: what fits the
# registers of a thread, sums and weights of two banks. With fewer heads there
# are more sums.
_TILES = ((128, 2, 16), (64, 3, 8))
# Of every 4 columns, those whose relu is a maximum, which is slower by itself
# but leaves the pipe of the sums alone: one is 0 to 2 % faster than none, all
# are 2 to 16 % slower.
MAX_COLUMNS = (1, 0, 2)


@dataclasses.dataclass(frozen=True)
class MqaLogitsProblem:
  """Logits of `num_rows` rows of `num_heads` heads over `num_keys` keys.

  Attributes:
    num_rows: rows of q.
    num_keys: rows of kv.
    num_heads: 8, 16, 32 or 64.
    head_dim: 32, 64 or 128.
    width: columns of the result.
    compressed: rows begin with the first key of their range.
    float32_out: logits are float32 instead of bfloat16.
  """

  num_rows: int
  num_keys: int
  num_heads: int
  head_dim: int
  width: int
  compressed: bool = False
  float32_out: bool = True


@dataclasses.dataclass(frozen=True)
class Sm90Fp8MqaLogitsConfig:
  """Mirrors the struct in cuda/kernels/sm90_fp8_mqa_logits_types.cuh."""

  num_heads: int
  head_dim: int
  bank_n: int
  num_math_warpgroups: int
  num_stages: int
  max_columns: int
  float32_out: bool

  @property
  def block_q(self) -> int:
    """Rows of q that are multiplied with a tile of keys."""
    return 2 * self.bank_n // self.num_heads

  @property
  def block_kv(self) -> int:
    """Keys of a tile."""
    return 64 * self.num_math_warpgroups

  @property
  def num_threads(self) -> int:
    """Threads of a block."""
    return 32 * self.num_warps

  @property
  def num_warps(self) -> int:
    """Warps of a block."""
    return 4 * self.num_math_warpgroups + 1 + _FILL_WARPS

  @property
  def query_stage_bytes(self) -> int:
    """Bytes of one block of queries, its barriers included."""
    columns = 2 * self.bank_n
    rows = self.block_q * ROW_BYTES
    return align(columns * (self.head_dim + 4) + rows + 8 + 16, 1024)

  @property
  def key_stage_bytes(self) -> int:
    """Bytes of one tile of keys, its barriers included."""
    return align(self.block_kv * (self.head_dim + 4) + 16, 1024)

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = _NUM_QUERY_STAGES * self.query_stage_bytes
    stages += self.num_stages * self.key_stage_bytes
    return align(stages + 8 * self.num_warps + 16, 1024)


def legal_mqa_configs(
  problem: MqaLogitsProblem, device: Device
) -> Iterator[Sm90Fp8MqaLogitsConfig]:
  """Returns every configuration that computes `problem` on `device`.

  None if the problem has more tiles than the kernel can count.
  """
  tiles = itertools.product(MAX_COLUMNS, _TILES)
  for max_columns, (bank_n, warpgroups, fewest_heads) in tiles:
    config = Sm90Fp8MqaLogitsConfig(
      num_heads=problem.num_heads,
      head_dim=problem.head_dim,
      bank_n=bank_n,
      num_math_warpgroups=warpgroups,
      num_stages=_MOST_STAGES,
      max_columns=max_columns,
      float32_out=problem.float32_out,
    )
    while config.smem_bytes > device.smem_bytes:
      config = dataclasses.replace(config, num_stages=config.num_stages - 1)
    is_legal = (
      problem.num_heads >= fewest_heads
      and config.block_q <= _MOST_BLOCK_Q
      and can_count(problem, config)
    )
    if is_legal:
      yield config


def choose(problem: MqaLogitsProblem, device: Device) -> Sm90Fp8MqaLogitsConfig:
  """Returns the configuration that computes `problem`.

  Two warpgroups with products of 128 columns issue the fewest instructions a
  logit: sums over quads, bounds and stores are shared by the most columns.

  Raises:
    NotImplementedError: the problem is too large for the kernel to count.
  """
  for config in legal_mqa_configs(problem, device):
    return config
  raise refusal("fp8_mqa_logits", problem)


def refusal(name: str, problem: MqaLogitsProblem) -> NotImplementedError:
  """Returns what is raised where a kernel cannot count."""
  return NotImplementedError(
    f"{name} has a Hopper kernel for fewer than 2**31 keys and columns and"
    f" 2**30 tiles, got {problem}"
  )


def can_count(
  problem: MqaLogitsProblem, config: Sm90Fp8MqaLogitsConfig
) -> bool:
  """Returns whether numbers of tiles and columns fit the kernel's integers."""
  blocks = -(-problem.num_rows // config.block_q)
  tiles = blocks * -(-problem.num_keys // config.block_kv)
  # Queries and heads are rows of one tensor map.
  largest = max(
    problem.num_keys, problem.width, problem.num_rows * problem.num_heads
  )
  return tiles <= _MOST_TILES and largest <= _MOST_COLUMNS


def align(x: int, multiple: int) -> int:
  """Returns the smallest multiple that is no less than x."""
  return -(-x // multiple) * multiple
