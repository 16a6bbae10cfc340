"""Mistakes in the paged MQA logits that the emulator must find."""

from tests.emulator.mutations import Mutation
from tests.emulator.paged_mqa_case import paged_case

_KERNEL = "kernels/sm90_fp8_paged_mqa_logits.cuh"
_TYPES = "kernels/sm90_fp8_paged_mqa_logits_types.cuh"
_SCHEDULE = "kernels/sm90_fp8_paged_mqa_logits_schedule.cuh"
_LOAD = "kernels/sm90_fp8_paged_mqa_logits_load.cuh"
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
# Several tiles and sequences for each of two CTAs.
_RAGGED = paged_case([300, 64, 0, 65, 1, 449], 64, 32, 64, 8, 512)
_BANKS = paged_case([(70, 71, 200), (9, 0, 5)], 64, 32, 64, 4, 256, bank_n=64)
_SMALL_PAGES = paged_case([_HIGHEST, _LOWEST, 33, 97], 64, 32, 32, 5, 170)
# A tile each, so that a block is loaded while the one before is in use.
_SHORT = paged_case([9] * 30, 64, 32, 64, 1, 64, num_sms=1)
_BLOCKS = paged_case([(60, 61, 62)] * 2, 32, 32, 64, 2, 80, bank_n=64)
_LONG = paged_case([1100, 1071], 64, 32, 32, 35, 1100)
# More pages than are read at once for the CTA that begins within a sequence.
_HALVES = paged_case([2300], 64, 32, 32, 72, 2300)
_RUNS = paged_case(
  [*[9] * 390, 70, 71, 72, 9, *range(100, 109), 5],
  64,
  32,
  64,
  2,
  128,
  indices=(*[8] * 390, 3, 3, 3, 1, *[2] * 9, 3),
  num_sms=3,
  num_math_warpgroups=2,
)
_VARLEN = paged_case(
  [70, 71, 72, 9, *range(100, 109), 5],
  64,
  32,
  64,
  2,
  128,
  indices=(3, 3, 3, 1, *[2] * 9, 3),
)


PAGED_MQA_MUTATIONS = (
  Mutation(
    "paged_keys_loaded_over_those_in_use",
    _LOAD,
    "    wait(stage.empty, parity ^ 1);\n",
    "",
    _RAGGED,
  ),
  Mutation(
    "paged_queries_loaded_over_those_in_use",
    _LOAD,
    "    wait(stage.empty, queries.parity() ^ 1);\n",
    "",
    _SHORT,
  ),
  Mutation(
    "paged_keys_not_awaited",
    _KERNEL,
    "    wait(stage.full, ring.parity());\n",
    "",
    _RAGGED,
  ),
  Mutation(
    "paged_queries_not_awaited",
    _KERNEL,
    "      wait(query.full, queries.parity());\n",
    "",
    _RAGGED,
  ),
  Mutation(
    "paged_too_few_bytes_of_keys",
    _TYPES,
    "kBlockKv * (kHeadDim + 4)",
    "kBlockKv * kHeadDim",
    _RAGGED,
  ),
  Mutation(
    "paged_too_few_bytes_of_queries",
    _LOAD,
    "num_banks * Traits::kBankBytes",
    "Traits::kBankBytes",
    _BANKS,
  ),
  Mutation(
    "paged_stage_released_before_its_last_product",
    _KERNEL,
    "    wait_heads_mma<0>(acc);\n",
    "    if (product.bank + 1 == product.num_banks) {\n"
    "      release(ring.stage().empty, worker.lane);\n"
    "    }\n"
    "    wait_heads_mma<0>(acc);\n"
    "    if (product.bank + 1 == product.num_banks) ring.advance();\n",
    _RAGGED,
  ),
  Mutation(
    "paged_product_read_too_early",
    _KERNEL,
    "    wait_heads_mma<0>(acc);\n",
    "    wait_heads_mma<1>(acc);\n",
    _RAGGED,
  ),
  Mutation(
    "paged_warpgroups_take_the_same_tiles",
    _KERNEL,
    "query.first_tile + own, count)",
    "query.first_tile, count)",
    _RAGGED,
  ),
  Mutation(
    "paged_banks_of_the_first_rows",
    _KERNEL,
    "+ product.bank * kBytes",
    "",
    _BANKS,
  ),
  Mutation(
    "paged_weights_of_the_first_rows",
    _KERNEL,
    "product.query, product.bank, worker.lane",
    "product.query, 0, worker.lane",
    _BANKS,
  ),
  Mutation(
    "paged_scales_not_swizzled",
    _TYPES,
    "kPagesPerTile == 1 ? key ^ key / 32 * 4 : key",
    "key",
    _RAGGED,
  ),
  Mutation(
    "paged_lengths_not_cut",
    _TYPES,
    "min(params.lengths[row], static_cast<int>(params.most_keys))",
    "params.lengths[row]",
    _SMALL_PAGES,
  ),
  Mutation(
    "paged_negative_lengths",
    _TYPES,
    "static_cast<u32>(max(length, 0))",
    "static_cast<u32>(length)",
    _SMALL_PAGES,
  ),
  Mutation(
    "paged_table_read_past_its_end",
    _LOAD,
    "pages[min(i, last)]",
    "pages[i]",
    _RAGGED,
  ),
  Mutation(
    "paged_pages_of_the_round_before",
    _LOAD,
    "table.page(first + i + 32 + lane)",
    "table.page(first + i + lane)",
    _LONG,
  ),
  Mutation(
    "paged_second_page_of_a_tile_is_the_first",
    _LOAD,
    "ptx::shuffle(own, j + k)",
    "ptx::shuffle(own, j)",
    _SMALL_PAGES,
  ),
  Mutation(
    "paged_entries_of_the_table_not_cut",
    _LOAD,
    "max(min(pages[min(i, last)], static_cast<int>(num_pages) - 1), 0)",
    "pages[min(i, last)]",
    paged_case([64, 65], 64, 32, 32, 5, 170, wild=True),
  ),
  Mutation(
    "paged_block_begins_with_its_first_tile",
    _LOAD,
    "load_keys(params, ring, table, skipped, count, pages, lane)",
    "load_keys(params, ring, table, 0, count, pages, lane)",
    _HALVES,
  ),
  Mutation(
    "paged_rows_past_the_block_stored",
    _LOAD,
    "    if (i >= block.num_rows) return {0, {0, 0}};\n",
    "",
    _BLOCKS,
  ),
  Mutation(
    "paged_tiles_of_the_first_row_alone",
    _SCHEDULE,
    "longest = max(longest, i < block.num_rows ? length : 0);",
    "longest = max(longest, i == 0 ? length : 0);",
    _BANKS,
  ),
  Mutation(
    "paged_runs_begin_with_a_thread",
    _SCHEDULE,
    "return {scan_before<Maximum>(smem.warp_runs, begin, last)};",
    "scan_before<Maximum>(smem.warp_runs, begin, last);\n      return {first};",
    _RUNS,
  ),
  Mutation(
    "paged_runs_do_not_end",
    _SCHEDULE,
    "&& params.indices[min(candidate + i, last)] == own",
    "",
    _VARLEN,
  ),
  Mutation(
    "paged_run_does_not_go_on",
    _LOAD,
    "      run.begin = ptx::shuffle(own.begin, 31);\n",
    "      run.begin = first + 32;\n",
    paged_case([9] * 69, 64, 32, 64, 1, 64, indices=(0, *[1] * 68), num_sms=1),
  ),
  Mutation(
    "paged_previous_kernel_not_awaited",
    _KERNEL,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _RAGGED,
  ),
)
