"""Mistakes in the product with sums of squares that must be found."""

from tests.emulator.hc_prenorm_case import hc_case
from tests.emulator.mutations import Mutation

_GEMM = "kernels/sm90_hc_prenorm_gemm.cuh"
_LOAD = "kernels/sm90_hc_prenorm_gemm_load.cuh"
_STAGE = "kernels/sm90_hc_prenorm_gemm_stage.cuh"
_STORE = "kernels/sm90_hc_prenorm_gemm_store.cuh"
_TYPES = "kernels/sm90_hc_prenorm_gemm_types.cuh"
_SPLIT = "common/split_float32.cuh"

_LONG = hc_case(
  9, 8, 300, num_splits=1, num_math_warpgroups=1, stage_k_blocks=1
)
_CLUSTER = hc_case(
  40, 8, 328, partials=2, num_splits=2, num_math_warpgroups=1, stage_k_blocks=2
)
_TEAMS = hc_case(
  20, 8, 680, num_splits=1, num_teams=2, num_stages=2, stage_k_blocks=1
)

HC_PRENORM_MUTATIONS = (
  # Pipeline.
  Mutation(
    "hc_producer_does_not_wait",
    _LOAD,
    "      wait(ring.barriers().empty, ring.parity() ^ 1);\n",
    "",
    _LONG,
  ),
  Mutation(
    "hc_stage_released_while_it_is_multiplied",
    _GEMM,
    "      ptx::wgmma_wait<0>();\n",
    "",
    _LONG,
  ),
  Mutation(
    "hc_parts_of_b_not_shown_to_the_tensor_cores",
    _GEMM,
    "      ptx::fence_proxy_async();\n",
    "",
    _LONG,
  ),
  Mutation(
    "hc_parts_of_b_not_awaited",
    _GEMM,
    "      ptx::barrier_sync(Traits::kTeamBarrier + team,"
    " Traits::kTeamThreads);\n"
    "      start_products",
    "      start_products",
    _LONG,
  ),
  Mutation(
    "hc_previous_kernel_not_awaited",
    _GEMM,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _LONG,
  ),
  # Values.
  Mutation(
    "hc_row_of_b_written_before_it_is_read",
    _STAGE,
    "    __syncwarp();\n",
    "",
    _LONG,
  ),
  Mutation(
    "hc_trailing_part_missing",
    _SPLIT,
    "0.0f : x - leading",
    "0.0f : 0.0f",
    _LONG,
  ),
  Mutation(
    "hc_block_of_another_split_loaded",
    _LOAD,
    "block + i < work.k_blocks.end ? block + i : params.num_k_blocks",
    "block + i",
    _CLUSTER,
  ),
  Mutation(
    "hc_longer_splits_are_the_last",
    _TYPES,
    "(index < longer)",
    "(index >= count - longer)",
    _CLUSTER,
  ),
  # Sums of the cluster.
  Mutation(
    "hc_sums_sent_over_a_stage_in_use",
    _GEMM,
    "    ptx::cluster_wait();\n",
    "",
    _CLUSTER,
  ),
  Mutation(
    "hc_sums_written_over_a_stage_of_another_team",
    _GEMM,
    "    } else if constexpr (kConfig.num_teams > 1) {\n"
    "      ptx::barrier_sync(Traits::kMathBarrier, Traits::kMathThreads);\n",
    "",
    _TEAMS,
  ),
  Mutation(
    "hc_sums_of_teams_not_awaited",
    _STORE,
    "      ptx::barrier_sync(Traits::kMathBarrier, Traits::kMathThreads);\n",
    "",
    _TEAMS,
  ),
  Mutation(
    "hc_nothing_expected",
    _GEMM,
    "        Store::expect(smem, work.rank);\n",
    "",
    _CLUSTER,
  ),
  Mutation(
    "hc_sums_of_one_split_twice",
    _STORE,
    "received[part * Fragments::kOwn + fragment / kNumSplits]",
    "received[0 * Fragments::kOwn + fragment / kNumSplits]",
    _CLUSTER,
  ),
  Mutation(
    "hc_teams_take_the_same_stages",
    _GEMM,
    "work.k_blocks.begin + team * kConfig.stage_k_blocks",
    "work.k_blocks.begin",
    _TEAMS,
  ),
  Mutation(
    "hc_teams_share_a_barrier",
    _GEMM,
    "Traits::kTeamBarrier + team,",
    "Traits::kTeamBarrier,",
    _TEAMS,
  ),
)
