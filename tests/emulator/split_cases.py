"""Cases of the FP8 GEMM for few tiles for the emulator."""

import functools

from jax_deepgemm.primitives.memory_order import MemoryOrder
from tests.emulator.fp8_gemm_case import case

split = functools.partial(case, split=True, num_stages=2)

_ONE = {"num_math_warpgroups": 1}
_TWO = {"num_math_warpgroups": 2}

SPLIT_CASES = [
  # Every width, with one row more than a tile has, or whole tiles of rows.
  split(65, 40, 384, block_n=16, stage_k_blocks=1, num_splits=1, **_ONE),
  split(129, 70, 512, block_n=32, stage_k_blocks=2, num_splits=2, **_TWO),
  split(128, 100, 512, block_n=64, stage_k_blocks=1, num_splits=2, **_TWO),
  split(64, 203, 512, block_n=128, stage_k_blocks=1, num_splits=4, **_ONE),
  # Splits: fewer column groups than there are, and shares that differ.
  split(40, 16, 640, block_n=16, stage_k_blocks=1, num_splits=4, **_ONE),
  split(70, 24, 1152, block_n=32, stage_k_blocks=1, num_splits=8, **_TWO),
  # A last stage that is not full.
  split(50, 64, 1152, block_n=64, stage_k_blocks=4, num_splits=2, **_ONE),
  # K ends within a block: whole tiles of rows, and a tile of the rest.
  split(70, 20, 333, block_n=32, stage_k_blocks=1, num_splits=1, **_ONE),
  split(70, 20, 461, block_n=32, stage_k_blocks=2, num_splits=2, **_ONE),
  split(67, 20, 944, block_n=32, stage_k_blocks=4, num_splits=2, **_ONE),
  # More K blocks than a warp holds scales of, from the first and others.
  split(33, 16, 70 * 128, block_n=16, stage_k_blocks=2, num_splits=2),
  # Results and groups.
  split(65, 101, 512, block_n=32, num_splits=2, with_c=True, **_ONE),
  split(40, 131, 256, block_n=64, num_splits=1, float32_out=True),
  split(70, 37, 384, num_splits=2, float32_out=True, with_c=True, **_ONE),
  split(70, 40, 272, groups=3, num_splits=2, evict_first=False, **_ONE),
  # Groups between rows and columns, of operands and of the result.
  split(
    70, 40, 272, groups=3, with_c=True, memory=MemoryOrder(True, True, True)
  ),
]
