"""Problems and configurations of the Hopper FP8 GEMM, and which fit."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import TypeVar

from jax_deepgemm.heuristics.device import Device

BLOCK_K = 128
SCALE_COLUMNS = 128  # Rows of B, columns of D, that have one scale.
_STORE_ROW_BYTES = 128

# Those above 128 must leave a divisor of 128 (cuda/common/tile_columns.cuh).
_BLOCK_NS = (8, 16, 32, 64, 96, 128, 136, 144, 160, 192)
# A copy of B takes n k / 2.1e12 seconds, and saves 0.9 m n k / 0.7e15 of them.
_ROWS_WORTH_A_COPY = 512


@dataclasses.dataclass(frozen=True)
class Fp8GemmProblem:
  """`num_groups` products `[m, k] x [n, k]` with scales per 128 of k.

  Attributes:
    sfb_per_row: B has a scale per row instead of per 128 rows.
    float32_out: The result, and C, are float32 instead of bfloat16.
    with_c: C is added to the product.
  """

  m: int
  n: int
  k: int
  num_groups: int = 1
  sfb_per_row: bool = False
  float32_out: bool = False
  with_c: bool = False

  @property
  def num_k_blocks(self) -> int:
    """Blocks of K that have a scale of their own."""
    return -(-self.k // BLOCK_K)

  @property
  def out_bytes(self) -> int:
    """Bytes of an element of D."""
    return 4 if self.float32_out else 2


@dataclasses.dataclass(frozen=True)
class Sm90Fp8GemmConfig:
  """Mirrors the struct of the same name in cuda/kernels/sm90_fp8_gemm.cuh."""

  num_math_warpgroups: int
  num_slabs: int
  block_n: int
  num_stages: int
  stage_k_blocks: int
  a_rows: int
  cluster_m: int
  cluster_n: int
  num_store_slots: int
  num_early_boxes: int
  sfb_per_row: bool
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
  def main_columns(self) -> int:
    """Columns of a tile that lie together (cuda/common/tile_columns.cuh)."""
    if self.sfb_per_row:
      return self.block_n
    return min(self.block_n, SCALE_COLUMNS)

  @property
  def rest_columns(self) -> int:
    """Columns of a tile that are its share of another 128."""
    return self.block_n - self.main_columns

  @property
  def store_box_columns(self) -> int:
    """Columns of D that one TMA store writes of those that lie together."""
    return min(self.main_columns, _STORE_ROW_BYTES // self.out_bytes)

  @property
  def rest_box_columns(self) -> int:
    """Columns of D that one TMA store writes of the others."""
    return min(self.rest_columns, _STORE_ROW_BYTES // self.out_bytes)

  @property
  def num_main_boxes(self) -> int:
    """TMA stores that a warp's 16 rows of a slab take for main columns."""
    return -(-self.main_columns // self.store_box_columns)

  @property
  def num_store_boxes(self) -> int:
    """TMA stores that a warp's 16 rows of a slab take."""
    if not self.rest_columns:
      return self.num_main_boxes
    return self.num_main_boxes + self.rest_columns // self.rest_box_columns

  @property
  def sfa_rows(self) -> int:
    """Scales of A in a stage and block of K.

    Four more than a tile has rows where tiles begin at any row: TMA begins at
    multiples of 16 bytes. A box has at most 256 rows.
    """
    return self.block_m + (4 if self.max_groups and self.block_m < 256 else 0)

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline, its two barriers included."""
    operands = (self.a_rows + self.block_n) * BLOCK_K + self.sfa_rows * 4
    sfb = self.block_n * 4 if self.sfb_per_row else 8
    return _align(self.stage_k_blocks * (operands + sfb) + 16, 1024)

  @property
  def store_bytes(self) -> int:
    """Bytes in which tiles wait to be stored."""
    columns = self.num_store_slots * self.store_box_columns
    columns += self.num_slabs * self.rest_columns
    return self.num_math_warpgroups * 64 * columns * self.out_bytes

  @property
  def overrun_bytes(self) -> int:
    """Bytes behind the last stage that wgmma reads where rows are missing."""
    return (self.block_m - self.a_rows) * BLOCK_K + 16

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = self.num_stages * self.stage_bytes
    plain = _align(stages + self.store_bytes + self.overrun_bytes, 1024)
    return _align(plain + self.table_bytes, 1024)

  @property
  def table_bytes(self) -> int:
    """Bytes of the table of row groups (cuda/common/row_groups.cuh)."""
    return 12 * self.max_groups + 4 if self.max_groups else 0


_Config = TypeVar("_Config", bound=Sm90Fp8GemmConfig)


def k_multiple_of(m: int, n: int, k: int) -> int:
  """Returns the multiple that K is padded to, 16 for no more than it must be.

  TMA loads rows that begin at odd multiples of 16 bytes at half the speed:
  4096 x 4096 x 7152 took 325 us on an H200, with 7168 it is 172. Operands that
  are copied anyway get rows that begin at multiples of 32; so do those of many
  rows, whose copies cost less than they save.
  """
  must_copy = k % 16 != 0
  return 32 if must_copy or min(m, n) >= _ROWS_WORTH_A_COPY else 16


def num_tiles(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmConfig
) -> tuple[int, int]:
  """Returns tiles along M and along N, both counted in clusters."""
  tiles_m = -(-problem.m // (config.block_m * config.cluster_m))
  if config.rest_columns:
    blocks = -(-problem.n // SCALE_COLUMNS)
    sharers = SCALE_COLUMNS // config.rest_columns
    groups, others = divmod(blocks, sharers + 1)
    tiles_n = groups * sharers + others
  else:
    tiles_n = -(-problem.n // config.block_n)
  return tiles_m, -(-tiles_n // config.cluster_n)


def legal_configs(
  problem: Fp8GemmProblem, device: Device
) -> Iterator[Sm90Fp8GemmConfig]:
  """Returns every configuration that computes `problem` on `device`."""
  shapes = itertools.product(
    ((1, 1), (2, 1), (3, 1), (2, 2)),  # Warpgroups, slabs of each.
    _BLOCK_NS,
    ((1, 1), (2, 1), (1, 2)),  # cluster_m, cluster_n.
    (1, 2, 4),  # stage_k_blocks.
    ((2, 2), (2, 1), (4, 2), (1, 1)),  # num_store_slots, num_early_boxes.
  )
  for shape in shapes:
    (warpgroups, slabs), block_n, cluster, stage_k_blocks, stores = shape
    block_m = warpgroups * slabs * 64
    config = Sm90Fp8GemmConfig(
      num_math_warpgroups=warpgroups,
      num_slabs=slabs,
      block_n=block_n,
      num_stages=0,
      stage_k_blocks=stage_k_blocks,
      a_rows=min(block_m, _align(problem.m, 8)),
      cluster_m=cluster[0],
      cluster_n=cluster[1],
      num_store_slots=stores[0],
      num_early_boxes=stores[1],
      sfb_per_row=problem.sfb_per_row,
      float32_out=problem.float32_out,
      with_c=problem.with_c,
    )
    if is_useful(config, problem, device) and _fits_kernel(config):
      yield from with_stages(config, device)


def with_stages(config: _Config, device: Device) -> Iterator[_Config]:
  """Returns `config` with the stages that fit on `device`, if those are 3."""
  num_stages = max_num_stages(config, device)
  if num_stages >= 3:
    yield dataclasses.replace(config, num_stages=num_stages)


def max_num_stages(config: Sm90Fp8GemmConfig, device: Device) -> int:
  """Returns how many stages of `config` are of use and fit on `device`."""
  taken = config.store_bytes + config.overrun_bytes
  if config.max_groups:
    taken = _align(taken, 1024) + config.table_bytes
  # More than 24 K blocks ahead hide no more latency.
  most = 24 // config.stage_k_blocks
  return min((device.smem_bytes - taken) // config.stage_bytes, most)


def is_useful(
  config: Sm90Fp8GemmConfig, problem: Fp8GemmProblem, device: Device
) -> bool:
  """Whether the problem has work for what the configuration sets up."""
  if config.cluster_size > device.num_sms:
    return False
  if config.cluster_m > 1 and problem.m <= config.block_m:
    return False
  if config.cluster_n > 1 and problem.n <= config.block_n:
    return False
  # Boxes of several K blocks are made of whole ones.
  whole_blocks = problem.k // BLOCK_K
  return config.stage_k_blocks == 1 or whole_blocks >= config.stage_k_blocks


def _fits_kernel(config: Sm90Fp8GemmConfig) -> bool:
  """Whether the kernel has this form."""
  return _scales_fit(config) and stores_fit(config) and _registers_fit(config)


def _scales_fit(config: Sm90Fp8GemmConfig) -> bool:
  """Whether no tile touches more than two rows of scales."""
  if config.sfb_per_row:
    return True
  if config.rest_columns:
    # Rows of B from two places do not lie together if a stage has more blocks.
    return config.stage_k_blocks == 1
  block_n = config.block_n
  return block_n + SCALE_COLUMNS - math.gcd(block_n, SCALE_COLUMNS) <= 256


def stores_fit(config: Sm90Fp8GemmConfig) -> bool:
  """Whether there are boxes for the slots, and early ones of the first slab.

  TMA adds float32 results to C, which a column must not meet twice.
  """
  columns = config.num_main_boxes * config.store_box_columns
  if config.with_c and config.float32_out and columns != config.main_columns:
    return False
  boxes = config.num_store_boxes
  if config.num_store_slots > config.num_slabs * config.num_main_boxes:
    return False
  first_half = boxes if config.num_slabs == 1 else boxes + boxes // 2
  return config.num_early_boxes <= first_half


def _registers_fit(config: Sm90Fp8GemmConfig) -> bool:
  """Whether the kernel compiles without spills; the limits come from trying."""
  tile = config.block_n // 2
  values = (config.num_slabs + config.stage_k_blocks) * tile
  if config.sfb_per_row:
    # The scales of a thread's columns are kept as well.
    values += config.block_n // 4
    return values <= (140 if config.num_math_warpgroups == 3 else 224)
  if config.num_math_warpgroups == 3:
    limit = 128 if config.with_c else 144
  elif config.num_slabs == 2:
    limit = 192 if config.with_c else 204
  else:
    limit = 192 if config.with_c else 224
  return values <= limit


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
