"""Problems and configurations of the Hopper FP8 GEMM with FP4 weights."""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  BLOCK_K,
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  is_useful,
  stores_fit,
  with_stages,
)

FP4_GROUP = 32  # Codes that have an exponent of their own.
_BLOCK_NS = (64, 96, 128)  # A thread loads a row's exponents.


@dataclasses.dataclass(frozen=True)
class Fp8Fp4GemmProblem:
  """`num_groups` products of FP8 `[m, k]` and FP4 `[n, k]`.

  Attributes:
    float32_out: The result, and C, are float32 instead of bfloat16.
    with_c: C is added to the product.
  """

  m: int
  n: int
  k: int
  num_groups: int = 1
  float32_out: bool = False
  with_c: bool = False

  @property
  def fp8(self) -> Fp8GemmProblem:
    """The product with FP8 weights that have a scale for 128 rows."""
    return Fp8GemmProblem(
      m=self.m,
      n=self.n,
      k=self.k,
      num_groups=self.num_groups,
      float32_out=self.float32_out,
      with_c=self.with_c,
    )

  @property
  def num_k_blocks(self) -> int:
    """Blocks of K that A has a scale for."""
    return -(-self.k // BLOCK_K)

  @property
  def num_fp4_groups(self) -> int:
    """Groups of a row of B that have an exponent of their own."""
    return -(-self.k // FP4_GROUP)

  @property
  def out_bytes(self) -> int:
    """Bytes of an element of D."""
    return 4 if self.float32_out else 2


@dataclasses.dataclass(frozen=True)
class Sm90Fp8Fp4GemmConfig(Sm90Fp8GemmConfig):
  """A configuration of `Sm90Fp8Gemm` whose B is decoded by a warpgroup."""

  @property
  def num_threads(self) -> int:
    """Threads of a CTA, those that load and decode included."""
    return self.num_math_warpgroups * 128 + 256

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline, its three barriers included."""
    operands = (self.a_rows + self.block_n) * BLOCK_K + self.sfa_rows * 4 + 8
    decoding = self.block_n * 4 + 2 * 4 * 8  # Exponents, what warps find.
    return _align(operands + decoding + 24, 1024)


def legal_configs(
  problem: Fp8Fp4GemmProblem, device: Device
) -> Iterator[Sm90Fp8Fp4GemmConfig]:
  """Returns every configuration that computes `problem` on `device`."""
  for slabs in ((1, 1), (2, 1), (2, 2)):  # Warpgroups, slabs of each.
    for block_n in _BLOCK_NS:
      for cluster in ((1, 1), (2, 1), (1, 2)):  # cluster_m, cluster_n.
        for stores in ((2, 2), (2, 1), (4, 2), (1, 1)):
          config = _config(problem, slabs, block_n, cluster, stores)
          useful = is_useful(config, problem.fp8, device)
          if useful and fits_kernel(config):
            yield from with_stages(config, device)


def _config(
  problem: Fp8Fp4GemmProblem,
  slabs: tuple[int, int],
  block_n: int,
  cluster: tuple[int, int],
  stores: tuple[int, int],
) -> Sm90Fp8Fp4GemmConfig:
  block_m = slabs[0] * slabs[1] * 64
  return Sm90Fp8Fp4GemmConfig(
    num_math_warpgroups=slabs[0],
    num_slabs=slabs[1],
    block_n=block_n,
    num_stages=0,
    stage_k_blocks=1,
    a_rows=min(block_m, _align(problem.m, 8)),
    cluster_m=cluster[0],
    cluster_n=cluster[1],
    num_store_slots=stores[0],
    num_early_boxes=stores[1],
    sfb_per_row=False,
    float32_out=problem.float32_out,
    with_c=problem.with_c,
  )


def fits_kernel(config: Sm90Fp8Fp4GemmConfig) -> bool:
  """Whether the kernel has this form."""
  return stores_fit(config) and _registers_fit(config)


def _registers_fit(config: Sm90Fp8Fp4GemmConfig) -> bool:
  """Whether the kernel compiles without spills, which was tried.

  With the warps that decode, no more than 216 are left for a thread's sums, and
  fewer where warps that load have groups to look up.
  """
  many_sums = config.num_slabs == 2 and config.block_n == 128
  adds_in_registers = config.with_c and not config.float32_out
  return not (many_sums and (adds_in_registers or config.max_groups))


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
