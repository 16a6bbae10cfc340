"""Mistakes in the BF16 GEMM that the emulator must find."""

from tests.emulator.bf16_gemm_case import case
from tests.emulator.mutations import Mutation

_GEMM = "kernels/sm90_bf16_gemm.cuh"
_LOAD = "kernels/sm90_bf16_gemm_load.cuh"
_TYPES = "kernels/sm90_bf16_gemm_types.cuh"
_STORE = "kernels/sm90_bf16_gemm_store.cuh"
_RESULT = "common/tile_result.cuh"
_RING = "common/barrier_ring.cuh"
_MMA = "mma/sm90_bf16.cuh"

# Small, but with several tiles per CTA and a ring that goes round.
_PLAIN = case("nt", 70, 203, 300, block_n=80, num_math_warpgroups=1)
_TRANSPOSED = case("tn", 70, 203, 300, block_n=128, num_math_warpgroups=1)
_WITH_C = case("nt", 66, 101, 256, block_n=64, with_c=True)
_CLUSTER = case(
  "tn", 260, 100, 320, block_n=64, cluster_m=2, num_math_warpgroups=1
)
# One row beyond a tile, and none for the other CTA of its cluster.
_REST = case(
  "nt",
  129,
  40,
  200,
  block_n=32,
  cluster_m=2,
  num_math_warpgroups=1,
  stage_k_blocks=2,
)
_SLABS = case("nt", 300, 100, 256, block_n=64, num_slabs=2)
# Fewer staging buffers than boxes, which they do not divide.
_SLOTS = case(
  "nt", 70, 300, 128, block_n=160, num_store_slots=2, num_math_warpgroups=1
)

BF16_MUTATIONS = (
  # Pipeline.
  Mutation(
    "bf16_producer_waits_for_the_other_phase",
    _LOAD,
    "ring.parity() ^ 1",
    "ring.parity()",
    _PLAIN,
  ),
  Mutation(
    "bf16_producer_does_not_wait",
    _LOAD,
    "        wait(ring.barriers().empty, ring.parity() ^ 1);\n",
    "",
    _PLAIN,
  ),
  Mutation(
    "bf16_consumer_waits_for_the_other_phase",
    _GEMM,
    "wait(ring.barriers().full, ring.parity())",
    "wait(ring.barriers().full, ring.parity() ^ 1)",
    _PLAIN,
  ),
  Mutation("bf16_parity_stays", _RING, "parity_ ^= wraps;", "", _PLAIN),
  Mutation("bf16_barriers_stay", _RING, "    barriers_ += step;\n", "", _PLAIN),
  Mutation(
    "bf16_stage_released_while_it_is_read",
    _GEMM,
    "    ptx::wgmma_wait<1>();\n",
    "",
    _PLAIN,
  ),
  Mutation(
    "bf16_wrong_stage_released",
    _GEMM,
    "release(before, lane)",
    "release(ring.barriers(), lane)",
    _PLAIN,
  ),
  Mutation(
    "bf16_last_stage_released_while_it_is_read",
    _GEMM,
    "ptx::wgmma_wait<0>();",
    "ptx::wgmma_wait<1>();",
    _PLAIN,
  ),
  Mutation(
    "bf16_too_few_bytes",
    _TYPES,
    "(kConfig.a_rows + kBlockN) *",
    "(kConfig.a_rows) *",
    _PLAIN,
  ),
  Mutation(
    "bf16_peers_do_not_count",
    _GEMM,
    "kConfig.cluster_size() * Traits::kNumMathWarps",
    "Traits::kNumMathWarps",
    _CLUSTER,
  ),
  Mutation(
    "bf16_cluster_ends_apart",
    _GEMM,
    "if constexpr (kConfig.cluster_size() > 1) sync_cluster();",
    "",
    _CLUSTER,
  ),
  Mutation(
    "bf16_every_cta_loads_what_is_shared",
    _LOAD,
    "kConfig.cluster_m == 1 || my_turn",
    "true",
    _CLUSTER,
  ),
  # The tile in which A ends.
  Mutation(
    "bf16_bytes_of_a_whole_tile_for_the_rest",
    _LOAD,
    "kTransactionBytes - missing);\n          if (loads_a && ",
    "kTransactionBytes);\n          if (loads_a && ",
    _REST,
  ),
  Mutation(
    "bf16_blocks_of_the_rest_alike",
    _LOAD,
    "(place.k_block + i) * kBf16BlockK",
    "place.k_block * kBf16BlockK",
    _REST,
  ),
  Mutation(
    "bf16_rest_for_a_cta_without_rows",
    _LOAD,
    "loads_a && num_rows > 0",
    "loads_a",
    _REST,
  ),
  # Products.
  Mutation(
    "bf16_registers_not_fenced", _GEMM, "    ptx::wgmma_fence();\n", "", _PLAIN
  ),
  Mutation("bf16_old_sums_kept", _MMA, "!kFirst || k > 0", "true", _PLAIN),
  Mutation("bf16_sums_lost", _MMA, "!kFirst || k > 0", "k > 0", _PLAIN),
  Mutation(
    "bf16_k_step_too_long",
    _MMA,
    "kBf16MmaK * 2) >> 4",
    "kBf16MmaK * 4) >> 4",
    _PLAIN,
  ),
  Mutation(
    "bf16_step_of_the_other_major",
    _MMA,
    "kMnMajor ? kBf16MmaK",
    "!kMnMajor ? kBf16MmaK",
    _TRANSPOSED,
  ),
  Mutation(
    "bf16_next_columns_too_close",
    _MMA,
    "kLeadingBytes = kBf16AtomBytes",
    "kLeadingBytes = 1024",
    _TRANSPOSED,
  ),
  Mutation(
    "bf16_slab_of_the_other",
    _GEMM,
    "Traits::slab_row(warp, slab);",
    "Traits::slab_row(warp, 0);",
    _SLABS,
  ),
  Mutation(
    "bf16_atoms_of_one_place",
    _LOAD,
    "row + atom * kBf16AtomRows",
    "row",
    _TRANSPOSED,
  ),
  # Results.
  Mutation(
    "bf16_no_proxy_fence",
    _STORE,
    "    ptx::fence_proxy_async();\n",
    "",
    _PLAIN,
  ),
  Mutation(
    "bf16_stored_before_other_lanes_write",
    _STORE,
    "ptx::fence_proxy_async();\n    __syncwarp();",
    "ptx::fence_proxy_async();",
    _PLAIN,
  ),
  Mutation(
    "bf16_slots_overwritten",
    _STORE,
    "    if (lane_ == 0) ptx::tma_store_wait_read<kPending>();\n",
    "",
    _SLOTS,
  ),
  Mutation(
    "bf16_slots_overwritten_by_the_next_tile",
    _STORE,
    "kNumBoxes % kConfig.num_store_slots == 0 ?",
    "true ?",
    _SLOTS,
  ),
  Mutation(
    "bf16_memory_dies_before_the_last_store",
    _GEMM,
    "    if (lane == 0) ptx::tma_store_wait_read();\n",
    "",
    _PLAIN,
  ),
  Mutation(
    "bf16_second_half_not_stored",
    _GEMM,
    "if (has_finished) store.second_half(results);",
    "",
    _SLOTS,
  ),
  Mutation(
    "bf16_halves_of_a_pair_exchanged",
    _RESULT,
    "pack_bfloat16(x, y)",
    "pack_bfloat16(y, x)",
    _PLAIN,
  ),
  Mutation(
    "bf16_c_of_the_finished_tile",
    _GEMM,
    "Store(params, smem, tile, warp, lane).load_c",
    "Store(params, smem, finished, warp, lane).load_c",
    _WITH_C,
  ),
  Mutation(
    "bf16_c_read_past_its_end", _RESULT, "r < num_rows ?", "true ?", _WITH_C
  ),
)
