"""Problems and configurations of the Hopper paged MQA logits."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import ROW_BYTES, align

_NUM_QUERY_STAGES = 2
BLOCK_KV = 64  # Keys of a tile: rows of an instruction of a warpgroup.
# What is on its way of pages. 48 to 64 KB suffice for the memory's rate; more
# bridge the reading of tables and lengths. On an H200 12 stages of 128 columns
# are 1 to 3 % faster than 18 to 24, and 6 % than 6.
_BYTES_IN_FLIGHT = 108 * 1024
_MOST_STAGES = 24
# A lane of the loading warp looks at one row of a block.
_MOST_BLOCK_Q = 32
# Pairs of row and head that are multiplied with a tile while it is there. Half
# as many take the tensor cores longer than the memory to bring the tile.
_MOST_COLUMNS = 512
_VARLEN_COLUMNS = 256
# Columns of a product at most, math warpgroups, and the fewest heads: what fits
# the registers of a thread. With fewer heads there are more sums. In the order
# of preference: a third warpgroup gains nothing.
_TILES = ((128, 2, 8), (128, 3, 32), (64, 2, 8), (64, 3, 8))
# Of every 4 columns, those whose relu is a maximum.
MAX_COLUMNS = (0, 2)
# What the kernel counts in 32 bits.
_MOST_TILES = 2**32 - 1
_MOST_NUMBER = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class PagedMqaProblem:
  """Logits of `next_n` rows of each of `batch` sequences over their pages.

  Attributes:
    batch: sequences, or rows if they have indices.
    next_n: rows of a sequence; 1 with indices.
    num_heads: 8, 16, 32 or 64.
    head_dim: 32, 64 or 128.
    block_kv: keys of a page, 32 or 64.
    num_pages: pages that there are.
    max_pages: pages of a sequence in the table.
    width: columns of the result.
    is_varlen: adjacent rows of equal index are one sequence.
    float32_out: logits are float32 instead of bfloat16.
  """

  batch: int
  next_n: int
  num_heads: int
  head_dim: int
  block_kv: int
  num_pages: int
  max_pages: int
  width: int
  is_varlen: bool = False
  float32_out: bool = True

  @property
  def num_rows(self) -> int:
    """Rows of the result."""
    return self.batch * self.next_n


@dataclasses.dataclass(frozen=True)
class Sm90Fp8PagedMqaLogitsConfig:
  """Mirrors the struct in cuda/kernels/sm90_fp8_paged_mqa_logits_types.cuh."""

  num_heads: int
  head_dim: int
  block_kv: int
  bank_n: int
  max_banks: int
  num_math_warpgroups: int
  num_stages: int
  max_columns: int
  is_varlen: bool
  float32_out: bool

  @property
  def block_q(self) -> int:
    """Rows of a sequence that are multiplied with a tile of keys."""
    return self.max_banks * self.bank_n // self.num_heads

  @property
  def page_bytes(self) -> int:
    """Bytes of a page: keys, then scales."""
    return self.block_kv * (self.head_dim + 4)

  @property
  def num_threads(self) -> int:
    """Threads of a block."""
    return 128 * (self.num_math_warpgroups + 1)

  @property
  def query_stage_bytes(self) -> int:
    """Bytes of one block of queries, its barriers included."""
    columns = self.max_banks * self.bank_n
    rows = self.block_q * ROW_BYTES
    return align(columns * (self.head_dim + 4) + rows + 16 + 16, 1024)

  @property
  def key_stage_bytes(self) -> int:
    """Bytes of one tile of keys, its barriers included."""
    return align(BLOCK_KV * (self.head_dim + 4) + 16, 1024)

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = _NUM_QUERY_STAGES * self.query_stage_bytes
    stages += self.num_stages * self.key_stage_bytes
    warps = 4 * self.num_math_warpgroups + 4
    return align(stages + 2 * 4 * warps + 8, 1024)


def legal_paged_mqa_configs(
  problem: PagedMqaProblem, device: Device
) -> Iterator[Sm90Fp8PagedMqaLogitsConfig]:
  """Returns every configuration that computes `problem` on `device`.

  None if the problem has more tiles than the kernel can count.
  """
  found = set()
  for max_columns, (most_n, warpgroups, fewest_heads) in itertools.product(
    MAX_COLUMNS, _TILES
  ):
    bank_n, max_banks = banks(problem, most_n, _MOST_COLUMNS)
    config = Sm90Fp8PagedMqaLogitsConfig(
      num_heads=problem.num_heads,
      head_dim=problem.head_dim,
      block_kv=problem.block_kv,
      bank_n=bank_n,
      max_banks=max_banks,
      num_math_warpgroups=warpgroups,
      num_stages=0,
      max_columns=max_columns,
      is_varlen=problem.is_varlen,
      float32_out=problem.float32_out,
    )
    config = dataclasses.replace(config, num_stages=_num_stages(config, device))
    fits = bank_n <= 64 or problem.num_heads >= fewest_heads
    if fits and config not in found and can_count(problem, config):
      found.add(config)
      yield config


def _num_stages(config: Sm90Fp8PagedMqaLogitsConfig, device: Device) -> int:
  """Returns the stages that are wanted, or fit; `config` counts none."""
  room = device.smem_bytes - config.smem_bytes
  stages = min(_BYTES_IN_FLIGHT, room) // config.key_stage_bytes
  stages = min(stages, _MOST_STAGES)
  # A stage is always the same warpgroup's.
  return stages - stages % config.num_math_warpgroups


def choose(
  problem: PagedMqaProblem, device: Device
) -> Sm90Fp8PagedMqaLogitsConfig:
  """Returns the configuration that computes `problem`.

  The widest products, which share bounds and stores, unless narrower ones
  multiply fewer rows that are not there.

  Raises:
    NotImplementedError: the problem is too large for the kernel to count.
  """
  configs = legal_paged_mqa_configs(problem, device)
  # Of equals the first.
  config = min(configs, key=lambda c: c.max_banks * c.bank_n, default=None)
  if config is None:
    raise refusal("fp8_paged_mqa_logits", problem)
  return config


def refusal(name: str, problem: PagedMqaProblem) -> NotImplementedError:
  """Returns what is raised where a kernel cannot count."""
  return NotImplementedError(
    f"{name} has a Hopper kernel for fewer than 2**31 columns, pairs of row and"
    f" head, and pages, and 2**32 tiles, got {problem}"
  )


def banks(
  problem: PagedMqaProblem, most_n: int, most_columns: int
) -> tuple[int, int]:
  """Returns the columns of a product, a power of two, and their number.

  Args:
    problem: to compute.
    most_n: columns of a product at most.
    most_columns: pairs of row and head that a tile meets at a time, at most.
  """
  heads = problem.num_heads
  if problem.is_varlen:
    # A product for rows that are not there is left out: narrow ones.
    bank_n = 64
    most_rows = min(_VARLEN_COLUMNS // heads, _MOST_BLOCK_Q)
    return bank_n, -(-most_rows * heads // bank_n)
  most_rows = min(most_columns // heads, _MOST_BLOCK_Q)
  blocks = -(-problem.next_n // most_rows)
  rows = -(-problem.next_n // blocks)
  bank_rows = 1
  while bank_rows < rows and 2 * bank_rows * heads <= most_n:
    bank_rows *= 2
  return bank_rows * heads, -(-rows // bank_rows)


def can_count(
  problem: PagedMqaProblem, config: Sm90Fp8PagedMqaLogitsConfig
) -> bool:
  """Returns whether numbers of tiles and columns fit the kernel's integers."""
  blocks = problem.batch * -(-problem.next_n // config.block_q)
  num_keys = min(problem.max_pages * problem.block_kv, problem.width)
  tiles = blocks * -(-num_keys // BLOCK_KV)
  largest = max(
    problem.width,
    problem.num_rows * problem.num_heads,
    problem.num_pages,
    problem.max_pages,
  )
  return tiles <= _MOST_TILES and largest <= _MOST_NUMBER
