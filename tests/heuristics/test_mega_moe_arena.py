"""Parts of an arena: apart, aligned, large enough."""

import pytest

from jax_deepgemm.heuristics.mega_moe_arena import PARTS, MegaMoeArena

ARENAS = [
  MegaMoeArena(1, 8, 1, 1, 128, 128),
  MegaMoeArena(2, 6, 37, 5, 384, 256),
  MegaMoeArena(64, 64, 3, 32, 128, 256, "bf16xbf16"),
  MegaMoeArena(4, 256, 8192, 6, 4096, 2048),
  MegaMoeArena(8, 384, 8192, 8, 7168, 3072, "bf16xbf16"),
  MegaMoeArena(8, 64, 77, 6, 512, 256, "fp8xfp4"),
  MegaMoeArena(4, 20, 77, 8, 512, 256, num_shared_experts=2),
]


@pytest.mark.parametrize("arena", ARENAS)
def test_parts_do_not_overlap_and_fill_the_arena(arena):
  end = 0
  for part in PARTS:
    offset = arena.offset_of(part)
    assert offset % 1024 == 0
    assert 0 <= offset - end < 1024
    end = offset + arena.part_bytes(part)
  assert 0 <= arena.num_bytes - end < 1024
  assert arena.offset_of("header") == 0
  assert arena.counts_offset == 4096
  assert arena.control_bytes == arena.pool_x_offset


@pytest.mark.parametrize("arena", ARENAS)
def test_all_that_can_come_fits(arena):
  # Every token of every rank chooses as many experts of one rank as there are,
  # and those of that rank its shared ones.
  shared = arena.num_shared_experts
  here = arena.num_experts // arena.num_ranks - shared
  chosen = min(arena.top_k - shared, here)
  rows = arena.max_tokens * (arena.num_ranks * chosen + shared)
  assert rows <= arena.capacity < rows + 128
  assert arena.capacity % 128 == 0
  is_fp8 = arena.mma_type != "bf16xbf16"
  element = 1 if is_fp8 else 2
  assert arena.part_bytes("pool_x") == arena.capacity * arena.hidden * element
  scales = arena.hidden // 128 if is_fp8 else 0
  assert arena.part_bytes("pool_sf") == 4 * arena.capacity * scales
  assert arena.part_bytes("pool_weights") == 4 * arena.capacity
  assert arena.part_bytes("pool_sources") == 4 * arena.capacity
  slots = arena.max_tokens * arena.top_k
  assert arena.part_bytes("results") == 2 * slots * arena.hidden


@pytest.mark.parametrize("arena", ARENAS)
def test_counts_have_a_word_for_the_hash_and_whole_vectors(arena):
  assert arena.num_experts + 1 <= arena.counts_pitch <= arena.num_experts + 4
  assert arena.counts_pitch % 4 == 0
  size = 4 * arena.num_ranks * arena.counts_pitch
  assert arena.part_bytes("counts") == size
  assert arena.part_bytes("flags") == 4 * 3 * 64


def test_a_large_layer_takes_what_the_formula_says():
  arena = ARENAS[3]
  rows = 4 * 8192 * 6
  # Rows, scales, weights and sources of the pool; results of own tokens.
  pools = rows * (4096 + 4 * 32 + 4 + 4) + 8192 * 6 * 2 * 4096
  assert pools < arena.num_bytes < pools + 2**14
