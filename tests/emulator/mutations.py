"""Mistakes that the emulator must find, each a change of one place."""

import dataclasses

from tests.emulator.fp8_gemm_case import case
from tests.emulator.kernel_case import KernelCase

_GEMM = "kernels/sm90_fp8_gemm.cuh"
_LOAD = "kernels/sm90_fp8_gemm_load.cuh"
_TYPES = "kernels/sm90_fp8_gemm_types.cuh"
_STORE = "kernels/sm90_fp8_gemm_store.cuh"
_BOXES = "common/tile_store.cuh"
_COLUMNS = "common/tile_columns.cuh"
_MMA = "mma/sm90_fp8.cuh"

# Small, but with several tiles per CTA and a ring that goes round.
SPLIT = case(70, 203, 384, block_n=96, num_math_warpgroups=1, num_stages=2)
_FLOAT32 = case(70, 100, 384, block_n=64, float32_out=True, num_stages=2)
_WITH_C = case(70, 100, 256, block_n=64, with_c=True)
_BLOCKS = case(70, 72, 512, block_n=32, stage_k_blocks=2, num_stages=2)
_CUT = case(40, 72, 461, block_n=32, stage_k_blocks=2, num_stages=2)
_CLUSTER = case(
  140, 100, 384, block_n=32, cluster_m=2, num_math_warpgroups=1, num_stages=2
)
_SHARED = case(40, 650, 256, block_n=160, num_math_warpgroups=1, num_stages=2)
_SLOTS = case(
  70, 200, 256, block_n=128, num_store_slots=1, float32_out=True, num_stages=2
)
_TWO_GROUPS = case(140, 40, 256, block_n=32, num_math_warpgroups=2)


@dataclasses.dataclass(frozen=True)
class Mutation:
  """`old`, which `path` has once, becomes `new`; `case` shows the mistake."""

  name: str
  path: str
  old: str
  new: str
  case: KernelCase = SPLIT


_AFTER_WAIT = "        if (Traits::loads_all_rows"
_WAIT_EMPTY = "wait(stage.empty, ring.parity() ^ 1);\n"
_WAIT_MMA = "        wait_block_mma<kPending>(acc[kBlock]);\n"
_WHY_EARLY = (
  "        // Before the promotion, so that the next load starts as early as"
  " possible.\n"
)
_FINISH = "        if (last) finish_stage(worker, ring, stage, ready);\n"

MUTATIONS = (
  # The stage in which K ends.
  Mutation(
    "blocks_of_the_end_alike",
    _LOAD,
    "cut, full, (k_block + i) * kBlockK",
    "cut, full, k_block * kBlockK",
    _CUT,
  ),
  # The tile in which A ends.
  Mutation(
    "whole_tiles_loaded_as_the_rest",
    _LOAD,
    "(stage.a, params.a, params.cut.a,",
    "(stage.a, params.a_rest, params.cut.a,",
  ),
  Mutation(
    "bytes_of_a_whole_tile_for_the_rest",
    _LOAD,
    "- (kConfig.a_rows - num_rows) * kRowBytes",
    "",
  ),
  Mutation(
    "blocks_of_the_rest_alike",
    _LOAD,
    "stage.full, (k_block + i) * kBlockK, row",
    "stage.full, k_block * kBlockK, row",
    _BLOCKS,
  ),
  Mutation(
    "rest_for_a_cta_without_rows",
    _LOAD,
    "if (num_rows == 0 || (kShared",
    "if ((kShared",
    _CLUSTER,
  ),
  # Pipeline.
  Mutation(
    "producer_waits_for_the_other_phase",
    _LOAD,
    _WAIT_EMPTY + _AFTER_WAIT,
    "wait(stage.empty, ring.parity());\n" + _AFTER_WAIT,
  ),
  Mutation(
    "producer_does_not_wait",
    _LOAD,
    _WAIT_EMPTY + _AFTER_WAIT,
    _AFTER_WAIT,
  ),
  Mutation(
    "consumer_waits_for_the_other_phase",
    _GEMM,
    "slab == 0 && !ready) wait(Traits::operands(stage), ring.parity())",
    "slab == 0 && !ready) wait(Traits::operands(stage), ring.parity() ^ 1)",
  ),
  Mutation("parity_stays", "common/pipeline.cuh", "parity_ ^= wraps;", ""),
  Mutation(
    "stage_released_before_the_product",
    _GEMM,
    _WAIT_MMA + _WHY_EARLY + _FINISH,
    _FINISH + _WAIT_MMA,
  ),
  Mutation("too_few_bytes", _TYPES, " + kScaleRows * 4 +", " +"),
  Mutation(
    "too_many_bytes",
    _TYPES,
    " + kScaleRows * 4 +",
    " + kScaleRows * 8 +",
  ),
  Mutation(
    "arrival_does_not_wait_for_copies",
    _LOAD,
    "ptx::cp_async_arrive(stage.full)",
    "ptx::mbarrier_arrive(stage.full)",
  ),
  # Clusters and the start of a kernel.
  Mutation(
    "barriers_not_fenced", _GEMM, "    ptx::mbarrier_init_fence();\n", ""
  ),
  Mutation(
    "barriers_not_awaited",
    _GEMM,
    "    sync_cluster();\n    ptx::wait_for_previous_kernel",
    "    ptx::wait_for_previous_kernel",
    _CLUSTER,
  ),
  Mutation(
    "cluster_ends_apart",
    _GEMM,
    "if constexpr (kConfig.cluster_size() > 1) sync_cluster();",
    "",
    _CLUSTER,
  ),
  Mutation(
    "peers_do_not_count",
    _GEMM,
    "kConfig.cluster_size() * Traits::kNumMathWarps",
    "Traits::kNumMathWarps",
    _CLUSTER,
  ),
  Mutation(
    "multicast_to_itself",
    _LOAD,
    "(1 << kConfig.cluster_size()) - 1",
    "1",
    _CLUSTER,
  ),
  Mutation(
    "previous_kernel_not_awaited",
    _GEMM,
    "    ptx::wait_for_previous_kernel();\n",
    "",
  ),
  Mutation(
    "more_registers_than_there_are",
    _GEMM,
    "kGroupsRows ? 232 : 240",
    "kGroupsRows ? 232 : 248",
    _TWO_GROUPS,
  ),
  # Products.
  Mutation("registers_not_fenced", _MMA, "  ptx::wgmma_fence();\n", ""),
  Mutation("old_sums_kept", _MMA, "b + offset, k > 0", "b + offset, true"),
  Mutation("k_step_too_long", _MMA, "k * kMmaK >> 4", "k * kMmaK >> 3"),
  Mutation("rows_too_close", _MMA, "kStrideBytes = 1024", "kStrideBytes = 512"),
  Mutation("no_operand_swizzle", _MMA, "kSwizzle128 = 1;", "kSwizzle128 = 0;"),
  Mutation(
    "product_read_too_early",
    _MMA,
    "wgmma_wait<kPending>",
    "wgmma_wait<kPending + 1>",
    _BLOCKS,
  ),
  # Scales.
  Mutation("row_scale_off_by_one", _GEMM, "sfa[0], sfa[8]", "sfa[0], sfa[7]"),
  Mutation(
    "first_scale_for_all", _GEMM, "rows.upper * sfb[1]", "rows.upper * sfb[0]"
  ),
  Mutation(
    "cut_too_late", _GEMM, "if (split > kSplit)", "if (split >= kSplit)"
  ),
  # Results.
  Mutation("no_proxy_fence", _STORE, "    ptx::fence_proxy_async();\n", ""),
  Mutation(
    "stored_before_other_lanes_write",
    _STORE,
    "ptx::fence_proxy_async();\n    __syncwarp();",
    "ptx::fence_proxy_async();",
    _FLOAT32,
  ),
  Mutation(
    "slots_overwritten",
    _STORE,
    "    if (lane_ == 0 && !kConfig.scatters_rows)"
    " ptx::tma_store_wait_read();\n",
    "",
  ),
  Mutation(
    "slots_overwritten_by_other_lanes",
    _STORE,
    "ptx::tma_store_wait_read();\n    __syncwarp();",
    "ptx::tma_store_wait_read();",
    _FLOAT32,
  ),
  Mutation(
    "stores_not_committed", _STORE, "      ptx::tma_store_commit();\n", ""
  ),
  Mutation(
    "memory_dies_before_the_last_store",
    _GEMM,
    "    if (worker.lane == 0) ptx::tma_store_wait_read();\n",
    "",
    _FLOAT32,
  ),
  Mutation(
    "slots_not_awaited_within_a_tile",
    _STORE,
    "kMainBox && turn(kBox) == 0",
    "false",
    _SLOTS,
  ),
  Mutation(
    "boxes_after_the_sums_are_gone",
    _GEMM,
    "if (worker.has_finished) store.go_on(slab, sum);\n",
    "if (worker.has_finished && slab > 0) store.go_on(slab, sum);\n",
  ),
  Mutation(
    "wrong_share",
    _COLUMNS,
    " + share * kRest;",
    ";",
    _SHARED,
  ),
  Mutation(
    "rest_loaded_over_the_main_rows",
    _LOAD,
    "stage.b[0] + Traits::Columns::kMain * kBlockK",
    "stage.b[0]",
    _SHARED,
  ),
  Mutation(
    "scale_of_the_next_block_for_the_rest",
    _LOAD,
    "Traits::kShares ? columns.rest / 128 : columns.main / 128 + 1",
    "columns.main / 128 + 1",
    _SHARED,
  ),
  Mutation(
    "rest_stored_as_main_columns",
    _STORE,
    "Boxes::in_rest(kInSlab) ? params_.d_rest : params_.d",
    "params_.d",
    _SHARED,
  ),
  Mutation("wrong_result_swizzle", _BOXES, "(row % 8)", "(row % 4)"),
  Mutation(
    "tile_skipped",
    "common/tile_scheduler.cuh",
    "index_ += step_;",
    "index_ += 2 * step_;",
  ),
  Mutation(
    "c_read_past_its_end",
    "common/accumulate.cuh",
    "r < num_rows && ",
    "",
    _WITH_C,
  ),
)
