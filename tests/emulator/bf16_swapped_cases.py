"""Cases of the BF16 GEMM with swapped operands for the emulator."""

import functools

from jax_deepgemm.primitives.memory_order import MemoryOrder
from tests.emulator.bf16_gemm_case import case

swapped = functools.partial(case, swapped=True, num_stages=2)

BF16_SWAPPED_CASES = [
  # Every width of tokens, in layouts that take turns.
  swapped("nt", 1, 72, 150, stage_k_blocks=1, num_splits=1),
  swapped("nn", 15, 130, 256, stage_k_blocks=2, num_splits=2),
  swapped("tn", 17, 64, 200, stage_k_blocks=1, num_splits=2),
  swapped("tt", 32, 70, 256, stage_k_blocks=2, num_math_warpgroups=2),
  swapped("nt", 33, 40, 512, stage_k_blocks=4, num_splits=2),
  swapped("nn", 64, 100, 260, num_splits=4, num_math_warpgroups=2),
  swapped("tn", 65, 64, 128, stage_k_blocks=2, num_splits=1),
  swapped("nt", 128, 90, 256, num_splits=4, num_math_warpgroups=2),
  swapped("tt", 150, 70, 192, stage_k_blocks=1, num_splits=2),
  swapped("nt", 200, 40, 128, stage_k_blocks=2, num_splits=1),
  # Splits: as many as fragments, more of them, and shares that differ.
  swapped("nt", 3, 64, 256, stage_k_blocks=1, num_splits=4),
  swapped("nn", 1, 64, 576, stage_k_blocks=1, num_splits=8),
  swapped("nt", 20, 40, 520, stage_k_blocks=1, num_splits=8),
  # Stages: a last one that is not full, several in flight, boxes of 256 lines.
  swapped("nt", 5, 64, 320, stage_k_blocks=4, num_splits=1),
  # K ends within a block that is loaded with others.
  swapped("nt", 5, 101, 456, stage_k_blocks=4, num_splits=2),
  swapped("nn", 9, 70, 168, stage_k_blocks=2, num_splits=1),
  swapped("nn", 5, 140, 832, stage_k_blocks=4, num_math_warpgroups=2),
  swapped("nt", 5, 130, 1600, stage_k_blocks=8, num_splits=1, num_stages=3),
  # Results.
  swapped("nt", 5, 101, 256, stage_k_blocks=2, num_splits=2, with_c=True),
  swapped("nn", 9, 203, 192, float32_out=True, evict_first=False),
  swapped("nt", 8, 131, 128, num_splits=2, float32_out=True, with_c=True),
  swapped("tn", 4, 70, 136, groups=3, num_splits=2, with_c=True),
  # Groups between rows and columns; with C the result cannot have them there.
  swapped("nn", 4, 70, 136, groups=3, memory=MemoryOrder(True, False, True)),
  swapped(
    "nt",
    9,
    40,
    168,
    groups=2,
    stage_k_blocks=2,
    num_splits=2,
    with_c=True,
    memory=MemoryOrder(True, True, True),
  ),
]
