"""Mistakes in the exchange between ranks that the emulator must find."""

from tests.emulator.mega_moe_case import MegaMoeCase
from tests.emulator.mutations import Mutation

_DISPATCH = "kernels/sm90_mega_moe_dispatch.cuh"
_PLACES = "kernels/sm90_mega_moe_dispatch_places.cuh"
_PUSH = "kernels/sm90_mega_moe_dispatch_push.cuh"
_COUNT = "kernels/sm90_mega_moe_dispatch_count.cuh"
_ADDRESSES = "kernels/sm90_mega_moe_dispatch_addresses.cuh"
_COMBINE = "kernels/sm90_mega_moe_combine.cuh"
_FLAGS = "common/arena_flags.cuh"
_GRID = "common/grid_barrier.cuh"
# Two calls, so that one may overwrite what the other has not read yet.
_CASE = MegaMoeCase(4, 2, ((5, 4), (3, 6)), 6)

MEGA_MOE_MUTATIONS = (
  Mutation(
    "moe_flags_without_a_fence",
    _FLAGS,
    "  ptx::fence_system();\n  for (u32 rank",
    "  for (u32 rank",
    _CASE,
  ),
  Mutation(
    "moe_flags_awaited_of_this_device",
    _FLAGS,
    "load_acquire_system(flag)",
    "load_acquire_gpu(flag)",
    _CASE,
  ),
  Mutation(
    "moe_arrival_without_a_fence",
    _GRID,
    "  ptx::fence_system();\n  const u32 before",
    "  const u32 before",
    _CASE,
  ),
  Mutation(
    "moe_rows_announced_as_counts",
    _DISPATCH,
    "arrive_and_tell(params, call, kPushed, kRowsPhase)",
    "arrive_and_tell(params, call, kPushed, kCountsPhase)",
    _CASE,
  ),
  Mutation(
    "moe_rows_not_awaited",
    _DISPATCH,
    "return ok && wait_for_ranks(call, params.flags_offset, kRowsPhase, "
    "smem.has_failed);",
    "return ok;",
    _CASE,
  ),
  Mutation(
    "moe_counts_not_awaited",
    _FLAGS,
    "if (static_cast<int>(seen - call.epoch) >= 0) return true;",
    "if (phase == kCountsPhase || "
    "static_cast<int>(seen - call.epoch) >= 0) return true;",
    _CASE,
  ),
  Mutation(
    "moe_calls_compared_as_numbers",
    _FLAGS,
    "static_cast<int>(seen - call.epoch) >= 0",
    "seen >= call.epoch",
    MegaMoeCase(4, 2, ((3, 2), (1, 3)), 3, past_calls=2**32 - 2),
  ),
  Mutation(
    "moe_results_not_awaited",
    _COMBINE,
    "return wait_for_ranks(call, params.flags_offset, kResultsPhase, "
    "smem.has_failed);",
    "return true;",
    _CASE,
  ),
  Mutation(
    "moe_epoch_stays",
    _DISPATCH,
    "call.arena->epoch = call.epoch;",
    "call.arena->epoch = call.epoch - 1;",
    _CASE,
  ),
  Mutation(
    "moe_ctas_counted_too_early",
    _DISPATCH,
    "ok = ok && wait_for_grid(call, kCounted, smem.has_failed);",
    "",
    _CASE,
  ),
  Mutation(
    "moe_failure_overwritten_while_it_is_read",
    _PLACES,
    "    __syncthreads();\n    check_shapes",
    "    check_shapes",
    MegaMoeCase(4, 2, ((4, 3),), 4, stranger=1),
  ),
  Mutation(
    "moe_places_without_ranks_before",
    _PLACES,
    "if (rank < call.rank) before += count;",
    "if (rank > call.rank) before += count;",
    _CASE,
  ),
  Mutation(
    "moe_later_warps_first",
    _COUNT,
    "warp < Traits::kNumWarps; ++warp) {\n        const u32 count = "
    "smem.next[warp][e];\n        smem.next[warp][e] = before;",
    "warp < Traits::kNumWarps; ++warp) {\n        const u32 count = "
    "smem.next[Traits::kNumWarps - 1 - warp][e];\n"
    "        smem.next[Traits::kNumWarps - 1 - warp][e] = before;",
    _CASE,
  ),
  Mutation(
    "moe_ctas_counted_from_each_lane_s_first",
    _COUNT,
    "total + sum - own[i]",
    "sum - own[i]",
    MegaMoeCase(4, 1, ((132,),), 132, num_ctas=33),
  ),
  Mutation(
    "moe_lanes_before_not_counted",
    _PUSH,
    "next[expert] + before;",
    "next[expert];",
    _CASE,
  ),
  Mutation(
    "moe_sources_without_their_rank",
    _PUSH,
    "smem.rank * params.num_slots + static_cast<u32>(index)",
    "static_cast<u32>(index)",
    _CASE,
  ),
  Mutation(
    "moe_results_go_to_this_rank",
    _ADDRESSES,
    "smem.peers[rank] +",
    "smem.peers[call.rank] +",
    _CASE,
  ),
)
