"""Every form of the Hopper BF16 GEMM is right under a harsher memory model."""

import pytest

from jax_deepgemm.primitives.memory_order import MemoryOrder
from tests.emulator.bf16_gemm_case import Case, case
from tests.emulator.schedules import assert_same_right_result

NUM_SEEDS = 3

CASES = [
  # Each layout, with edges that do not divide and six tiles on two CTAs.
  case("nt", 70, 203, 300, block_n=80, num_math_warpgroups=1),
  case("nn", 70, 203, 300, block_n=64, num_math_warpgroups=1),
  case("tn", 70, 203, 300, block_n=64, num_math_warpgroups=2, num_slabs=1),
  case("tt", 140, 101, 300, block_n=48, num_math_warpgroups=1),
  # Wide tiles; slots that do and do not divide the boxes of a tile.
  case("nt", 140, 520, 200, block_n=256, num_slabs=1, num_store_slots=2),
  case("nn", 140, 450, 200, block_n=192, num_slabs=1, num_store_slots=2),
  case("nt", 70, 360, 200, block_n=176, num_store_slots=1),
  # Fewer rows than a tile: wgmma reads past what is loaded.
  case("nt", 5, 40, 130, block_n=32, num_sms=1),
  case("nn", 1, 9, 16, block_n=64, num_sms=1),
  case("nt", 1, 9, 8, block_n=8, num_sms=1),
  # One K block, and two, in tiles whose results wait for the next.
  case("nt", 200, 70, 64, block_n=32, num_math_warpgroups=1),
  case("tn", 200, 140, 128, block_n=64, num_math_warpgroups=1, with_c=True),
  # Several K blocks a stage; a last stage that is not full.
  case("nt", 130, 136, 192, block_n=64, stage_k_blocks=2),
  case("tn", 130, 136, 192, block_n=64, stage_k_blocks=2),
  case("nt", 60, 72, 640, block_n=32, stage_k_blocks=4),
  # K ends within a block that is loaded with others.
  case("nt", 60, 72, 600, block_n=32, stage_k_blocks=4),
  case("tt", 70, 300, 200, block_n=64, cluster_n=2, stage_k_blocks=2),
  case("nt", 70, 300, 200, block_n=64, cluster_n=2, stage_k_blocks=2),
  # One row beyond a tile, of which the other CTA of its cluster has none.
  case(
    "nt",
    129,
    40,
    200,
    groups=2,
    block_n=32,
    cluster_m=2,
    num_math_warpgroups=1,
    stage_k_blocks=2,
    num_sms=4,
  ),
  # Two slabs of a warpgroup, and three warpgroups.
  case("nt", 300, 100, 256, block_n=64, num_slabs=2),
  case("tn", 300, 100, 256, block_n=64, num_slabs=2, with_c=True),
  case("tt", 400, 70, 192, block_n=32, num_math_warpgroups=3),
  # Clusters that share B, or A.
  case(
    "nt",
    260,
    70,
    384,
    block_n=48,
    cluster_m=2,
    num_math_warpgroups=1,
    num_sms=4,
  ),
  case("tn", 260, 170, 320, block_n=64, cluster_m=2, num_math_warpgroups=1),
  case("nn", 70, 300, 384, block_n=64, cluster_n=2, stage_k_blocks=2),
  # Results.
  case("nt", 66, 170, 256, block_n=160, num_store_slots=4, float32_out=True),
  case("nt", 66, 101, 256, block_n=64, with_c=True),
  case(
    "tn",
    140,
    200,
    256,
    block_n=128,
    cluster_m=2,
    num_math_warpgroups=1,
    float32_out=True,
    with_c=True,
  ),
  case("nt", 66, 40, 144, groups=3, block_n=32, with_c=True),
  case("tn", 66, 40, 144, groups=3, block_n=64, float32_out=True),
  # Groups between rows and columns, of operands and of the result.
  case(
    "nt",
    66,
    40,
    200,
    groups=3,
    block_n=32,
    stage_k_blocks=2,
    memory=MemoryOrder(True, False, True),
  ),
  case(
    "nn", 66, 70, 80, groups=3, block_n=64, memory=MemoryOrder(True, True, True)
  ),
  case("tn", 66, 70, 80, groups=2, block_n=64, memory=MemoryOrder(True, True)),
]


@pytest.mark.parametrize("case", CASES, ids=Case.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)
