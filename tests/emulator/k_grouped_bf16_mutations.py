"""Mistakes in the K-grouped BF16 GEMM that the emulator must find."""

from tests.emulator.k_grouped_bf16_case import k_bf16_case
from tests.emulator.mutations import Mutation

_GEMM = "kernels/sm90_k_grouped_bf16_gemm.cuh"
_DENSE = "kernels/sm90_bf16_gemm.cuh"
_STORE = "kernels/sm90_bf16_gemm_store.cuh"
_LOAD = "kernels/sm90_bf16_gemm_load.cuh"

_ALL_SIZES = k_bf16_case(70, 100, (130, 0, 1, 64, 200), block_n=64)
_GAPS = k_bf16_case(70, 100, (65, 63, 129), block_n=64, gap=3)
_WITH_C = k_bf16_case(70, 100, (130, 0, 200), block_n=64, with_c=True)
_PARTS = k_bf16_case(70, 40, (500, 0, 50), block_n=64, num_parts=4)
# Every block is cut, and the ring goes round.
_CUTS = k_bf16_case(40, 60, (5, 63, 1, 17, 33, 62, 2), block_n=64, num_sms=1)

K_GROUPED_BF16_MUTATIONS = (
  Mutation(
    "k_bf16_table_not_awaited",
    _GEMM,
    "place(params, table, i);\n    __syncthreads();\n",
    "place(params, table, i);\n",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_sizes_not_awaited",
    _GEMM,
    "    __syncthreads();\n    for (u32 i = threadIdx.x; i < num_groups; "
    "i += kNumThreads) place",
    "    for (u32 i = threadIdx.x; i < num_groups; i += kNumThreads) place",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_equal_sizes_share_a_place",
    _GEMM,
    "(other == size && j < i)",
    "false",
    k_bf16_case(70, 40, (30, 30), block_n=64),
  ),
  Mutation(
    "k_bf16_empty_groups_read_the_first_block",
    _GEMM,
    "KGroup{i, params.num_k, kBf16BlockK}",
    "KGroup{i, 0, kBf16BlockK}",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_empty_groups_left_out",
    _GEMM,
    "other > 0 || !kConfig.with_c",
    "other > 0",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_parts_overlap",
    _GEMM,
    "blocks * part / params.num_parts * kBf16BlockK",
    "blocks * part / (params.num_parts + 1) * kBf16BlockK",
    _PARTS,
  ),
  Mutation(
    "k_bf16_cut_blocks_come_uncut",
    _LOAD,
    "Work::is_cut(tile, k_block)",
    "false",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_one_row_too_many",
    _GEMM,
    "tile.num_k_blocks - last * kBf16BlockK, lane",
    "tile.num_k_blocks - last * kBf16BlockK + 1, lane",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_one_row_too_few",
    _GEMM,
    "tile.num_k_blocks - last * kBf16BlockK, lane",
    "tile.num_k_blocks - last * kBf16BlockK - 1, lane",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_b_not_cut",
    _GEMM,
    "sizeof(Stage) / kBf16AtomBytes",
    "kConfig.block_m() / kBf16AtomRows",
    _GAPS,
  ),
  Mutation(
    "k_bf16_cut_before_it_is_loaded",
    _GEMM,
    "        wait(smem.uncut[stage], parities >> stage & 1);\n",
    "",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_cut_of_the_round_before",
    _GEMM,
    "        parities ^= 1u << stage;\n",
    "",
    _CUTS,
  ),
  Mutation(
    "k_bf16_cut_not_fenced",
    _GEMM,
    "        ptx::fence_proxy_async();\n",
    "",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_cut_not_awaited_by_its_lanes",
    _GEMM,
    "        __syncwarp();\n",
    "",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_cut_not_told",
    _GEMM,
    "        if (lane == 0) ptx::mbarrier_arrive(smem.barriers[stage].full);\n",
    "",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_cutting_warp_stays_behind",
    _GEMM,
    "      ++num_loaded;\n",
    "",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_loads_from_the_first_row",
    _LOAD,
    "first_k + (k_block + block)",
    "(k_block + block)",
    _ALL_SIZES,
  ),
  Mutation(
    "k_bf16_stored_over_c",
    _STORE,
    "ptx::tma_store_add(params_.d",
    "ptx::tma_store(params_.d",
    _WITH_C,
  ),
  Mutation(
    "k_bf16_results_of_another_tile_added",
    _DENSE,
    "finish_result<Traits::kLoadsC>",
    "finish_result<kConfig.with_c>",
    _WITH_C,
  ),
)
