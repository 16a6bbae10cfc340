"""Cases of the FP8 GEMM with swapped operands for the emulator."""

import functools

from jax_deepgemm.primitives.memory_order import MemoryOrder
from tests.emulator.fp8_gemm_case import case

swapped = functools.partial(case, swapped=True, num_stages=2)

SWAPPED_CASES = [
  # Every width of tokens, with one row less than it has where that is legal.
  swapped(1, 72, 300, stage_k_blocks=1, num_splits=1),
  swapped(15, 130, 512, stage_k_blocks=2, num_splits=2),
  swapped(17, 64, 384, stage_k_blocks=1, num_splits=2),
  swapped(32, 70, 512, stage_k_blocks=2, num_splits=1, num_math_warpgroups=2),
  swapped(33, 40, 1024, stage_k_blocks=4, num_splits=2),
  swapped(64, 100, 520, stage_k_blocks=1, num_splits=4),
  swapped(65, 64, 256, stage_k_blocks=2, num_splits=1),
  swapped(128, 90, 512, stage_k_blocks=1, num_splits=4, num_math_warpgroups=2),
  # Splits: as many as fragments, more of them, and shares that differ.
  swapped(3, 64, 512, stage_k_blocks=1, num_splits=4),
  swapped(1, 64, 1152, stage_k_blocks=1, num_splits=8),
  swapped(20, 40, 1040, stage_k_blocks=1, num_splits=8),
  # Stages and rounds: a last stage that is not full, two rounds in a stage.
  swapped(5, 64, 640, stage_k_blocks=4, num_splits=1),
  # K ends within a block that is loaded with others.
  swapped(11, 101, 944, stage_k_blocks=4, num_splits=2),
  swapped(5, 70, 333, stage_k_blocks=2, num_splits=1, sfb_per_row=True),
  swapped(5, 130, 2304, stage_k_blocks=8, num_splits=2, num_math_warpgroups=1),
  # More K blocks than a warp holds scales of.
  swapped(1, 16, 66 * 128, stage_k_blocks=8, num_splits=1),
  # Results and scales.
  swapped(5, 101, 512, stage_k_blocks=2, num_splits=2, with_c=True),
  swapped(9, 203, 384, num_splits=1, float32_out=True, evict_first=False),
  swapped(8, 131, 256, num_splits=2, float32_out=True, with_c=True),
  swapped(7, 70, 512, stage_k_blocks=2, num_splits=2, sfb_per_row=True),
  swapped(24, 133, 300, num_splits=2, sfb_per_row=True, num_math_warpgroups=2),
  swapped(4, 70, 272, groups=3, stage_k_blocks=2, num_splits=2, with_c=True),
  # Groups between rows and columns, of operands and of the result.
  swapped(4, 70, 272, groups=3, memory=MemoryOrder(True, True, True)),
]
