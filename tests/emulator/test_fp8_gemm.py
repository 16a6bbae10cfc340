"""Every form of the Hopper FP8 GEMM is right under a harsher memory model."""

import pytest

from jax_deepgemm.primitives.memory_order import MemoryOrder
from tests.emulator.fp8_gemm_case import Case, case
from tests.emulator.schedules import assert_same_right_result

NUM_SEEDS = 3

CASES = [
  # Tiles that straddle two scales of B, six of them on two CTAs.
  case(70, 203, 300, block_n=96, num_math_warpgroups=1),
  case(70, 331, 270, block_n=160, num_store_slots=2, num_stages=2),
  # Tiles that share out every 9th, 5th or 3rd block of 128 columns; one slab
  # stored behind the other.
  case(70, 1171, 130, block_n=144, num_early_boxes=2, num_stages=2),
  case(70, 700, 130, block_n=160, cluster_n=2, num_stages=2),
  case(300, 300, 130, block_n=136, num_slabs=2, num_stages=2),
  case(70, 450, 130, block_n=192, float32_out=True, with_c=True, num_stages=2),
  # Fewer rows than a tile: wgmma reads past what is loaded.
  case(5, 40, 130, block_n=32, num_sms=1),
  case(1, 9, 16, block_n=8, num_sms=1, num_stages=1),
  # Several K blocks a stage; a last stage that is not full.
  case(130, 136, 384, block_n=64, stage_k_blocks=2, num_stages=2),
  case(100, 72, 640, block_n=32, stage_k_blocks=4, num_math_warpgroups=1),
  # K ends within a block that is loaded with others, for one CTA and for two.
  case(100, 72, 592, block_n=32, stage_k_blocks=4, num_math_warpgroups=1),
  case(70, 300, 333, block_n=96, cluster_n=2, stage_k_blocks=2),
  # One row beyond a tile, of which the other CTA of its cluster has none.
  case(
    129,
    40,
    333,
    groups=2,
    block_n=32,
    cluster_m=2,
    num_math_warpgroups=1,
    stage_k_blocks=2,
    num_sms=4,
  ),
  # Two slabs of a warpgroup, and three warpgroups.
  case(300, 100, 256, block_n=64, num_slabs=2),
  case(400, 70, 384, block_n=32, num_math_warpgroups=3),
  # Clusters that share B, or A.
  case(260, 70, 384, block_n=64, cluster_m=2, num_math_warpgroups=1, num_sms=4),
  case(70, 300, 512, block_n=96, cluster_n=2, stage_k_blocks=2),
  case(
    140,
    200,
    256,
    block_n=160,
    cluster_m=2,
    num_stages=2,
    float32_out=True,
    with_c=True,
  ),
  # Results and scales.
  case(66, 170, 256, block_n=160, num_store_slots=4, float32_out=True),
  case(66, 101, 256, block_n=64, with_c=True),
  case(70, 150, 300, block_n=64, sfb_per_row=True, float32_out=True),
  case(200, 90, 256, block_n=32, sfb_per_row=True, cluster_m=2, with_c=True),
  case(66, 40, 144, groups=3, block_n=32, with_c=True),
  # Groups between rows and columns, of operands and of the result.
  case(66, 40, 144, groups=3, memory=MemoryOrder(True, False, True)),
]


@pytest.mark.parametrize("case", CASES, ids=Case.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)
