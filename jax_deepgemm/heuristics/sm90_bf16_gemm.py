"""Problems and configurations of the Hopper BF16 GEMM, and which fit."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device

BLOCK_K = 64
LINE_BYTES = 128  # A row of a block of K, or 64 rows of one element of K.
ATOM_ROWS = 64  # Rows of an MN-major operand that lie in one line.

_BLOCK_NS = (8, *range(16, 257, 16))


@dataclasses.dataclass(frozen=True)
class Bf16GemmProblem:
  """`num_groups` products `[m, k] x [n, k]` of bfloat16.

  Attributes:
    a_mn_major: A is `[k, m]` in memory.
    b_mn_major: B is `[k, n]` in memory.
    float32_out: The result, and C, are float32 instead of bfloat16.
    with_c: C is added to the product.
  """

  m: int
  n: int
  k: int
  num_groups: int = 1
  a_mn_major: bool = False
  b_mn_major: bool = False
  float32_out: bool = False
  with_c: bool = False

  @property
  def num_k_blocks(self) -> int:
    """Blocks of K that are loaded at least at a time."""
    return -(-self.k // BLOCK_K)

  @property
  def out_bytes(self) -> int:
    """Bytes of an element of D."""
    return 4 if self.float32_out else 2


@dataclasses.dataclass(frozen=True)
class Sm90Bf16GemmConfig:
  """Mirrors the struct in cuda/kernels/sm90_bf16_gemm_types.cuh."""

  num_math_warpgroups: int
  num_slabs: int
  block_n: int
  num_stages: int
  stage_k_blocks: int
  a_rows: int
  cluster_m: int
  cluster_n: int
  num_store_slots: int
  a_mn_major: bool
  b_mn_major: bool
  float32_out: bool
  with_c: bool
  max_groups: int = 0  # Of rows of A and D; 0: A has as many groups as B.
  scatters_rows: bool = False  # Each row of D has an address of its own.

  @property
  def block_m(self) -> int:
    """Rows of a tile."""
    return self.num_math_warpgroups * self.num_slabs * 64

  @property
  def cluster_size(self) -> int:
    """CTAs that share an operand."""
    return self.cluster_m * self.cluster_n

  @property
  def num_threads(self) -> int:
    """Threads of a CTA, those that load included."""
    return self.num_math_warpgroups * 128 + 128

  @property
  def out_bytes(self) -> int:
    """Bytes of an element of D."""
    return 4 if self.float32_out else 2

  @property
  def store_box_columns(self) -> int:
    """Columns of D that one TMA store writes."""
    return min(self.block_n, LINE_BYTES // self.out_bytes)

  @property
  def num_store_boxes(self) -> int:
    """TMA stores that a warp's rows of a tile take."""
    return self.num_slabs * -(-self.block_n // self.store_box_columns)

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline."""
    rows = self.a_rows + self.block_n
    return self.stage_k_blocks * rows * LINE_BYTES

  @property
  def store_bytes(self) -> int:
    """Bytes in which tiles wait to be stored."""
    columns = self.num_store_slots * self.store_box_columns
    return self.num_math_warpgroups * 64 * columns * self.out_bytes

  @property
  def overrun_bytes(self) -> int:
    """Bytes behind the last stage that wgmma reads where rows are missing."""
    return (self.block_m - self.a_rows) * LINE_BYTES + 16

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = self.num_stages * (self.stage_bytes + 16)  # With two barriers.
    plain = _align(stages + self.store_bytes + self.overrun_bytes, 1024)
    return _align(plain + self.table_bytes, 1024)

  @property
  def table_bytes(self) -> int:
    """Bytes of the table of row groups (cuda/common/row_groups.cuh)."""
    return 12 * self.max_groups + 4 if self.max_groups else 0


def num_tiles(
  problem: Bf16GemmProblem, config: Sm90Bf16GemmConfig
) -> tuple[int, int]:
  """Returns tiles along M and along N, both counted in clusters."""
  tiles_m = -(-problem.m // (config.block_m * config.cluster_m))
  return tiles_m, -(-problem.n // (config.block_n * config.cluster_n))


def legal_configs(
  problem: Bf16GemmProblem, device: Device
) -> Iterator[Sm90Bf16GemmConfig]:
  """Returns every configuration that computes `problem` on `device`."""
  shapes = itertools.product(
    ((1, 1), (2, 1), (3, 1), (2, 2)),  # Warpgroups, slabs of each.
    _BLOCK_NS,
    ((1, 1), (2, 1), (1, 2)),  # cluster_m, cluster_n.
    (1, 2, 4),  # stage_k_blocks.
    (1, 2, 4),  # num_store_slots.
  )
  for shape in shapes:
    (warpgroups, slabs), block_n, cluster, stage_k_blocks, slots = shape
    block_m = warpgroups * slabs * 64
    rows = block_m if problem.a_mn_major else -(-problem.m // 8) * 8
    config = Sm90Bf16GemmConfig(
      num_math_warpgroups=warpgroups,
      num_slabs=slabs,
      block_n=block_n,
      num_stages=0,
      stage_k_blocks=stage_k_blocks,
      a_rows=min(block_m, rows),
      cluster_m=cluster[0],
      cluster_n=cluster[1],
      num_store_slots=slots,
      a_mn_major=problem.a_mn_major,
      b_mn_major=problem.b_mn_major,
      float32_out=problem.float32_out,
      with_c=problem.with_c,
    )
    if config.cluster_size > device.num_sms:
      continue
    if not (_is_useful(config, problem) and _fits_kernel(config)):
      continue
    num_stages = max_num_stages(config, device)
    # One stage is being added, one is next, one is loaded.
    if num_stages >= 3:
      yield dataclasses.replace(config, num_stages=num_stages)


def max_num_stages(config: Sm90Bf16GemmConfig, device: Device) -> int:
  """Returns how many stages of `config` are of use and fit on `device`."""
  taken = config.store_bytes + config.overrun_bytes
  free = device.smem_bytes - taken
  if config.max_groups:
    # The table begins at a multiple of 1024.
    free = _align(free - config.table_bytes - 1023, 1024)
  # More than 32 K blocks ahead hide no more latency.
  most = 32 // config.stage_k_blocks
  return min(free // (config.stage_bytes + 16), most)


def _is_useful(config: Sm90Bf16GemmConfig, problem: Bf16GemmProblem) -> bool:
  """Whether the problem has work for what the configuration sets up."""
  if config.cluster_m > 1 and problem.m <= config.block_m:
    return False
  if config.cluster_n > 1 and problem.n <= config.block_n:
    return False
  # Whole slabs without a row would be multiplied.
  if config.block_m > 64 and problem.m <= config.block_m // 2:
    return False
  # Boxes of several K blocks are made of whole ones.
  whole_blocks = problem.k // BLOCK_K
  return config.stage_k_blocks == 1 or whole_blocks >= config.stage_k_blocks


def _fits_kernel(config: Sm90Bf16GemmConfig) -> bool:
  """Whether the kernel has this form."""
  if config.b_mn_major and config.block_n % ATOM_ROWS:
    return False
  if config.num_store_slots > config.num_store_boxes:
    return False
  return _registers_fit(config)


def _registers_fit(config: Sm90Bf16GemmConfig) -> bool:
  """Whether the kernel compiles without spills; the limits come from trying."""
  sums = config.num_slabs * config.block_n // 2
  results = sums * config.out_bytes // 4
  return sums + results <= (128 if config.num_math_warpgroups == 3 else 192)


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
