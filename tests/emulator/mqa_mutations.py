"""Mistakes in the MQA logits that the emulator must find."""

from tests.emulator.mqa_case import mqa_case
from tests.emulator.mutations import Mutation

_KERNEL = "kernels/sm90_fp8_mqa_logits.cuh"
_TYPES = "kernels/sm90_fp8_mqa_logits_types.cuh"
_SCHEDULE = "kernels/sm90_fp8_mqa_logits_schedule.cuh"
_SCAN = "common/block_scan.cuh"
_LOAD = "kernels/sm90_fp8_mqa_logits_load.cuh"
_FILL = "kernels/sm90_fp8_mqa_logits_fill.cuh"
_SUMS = "kernels/sm90_fp8_mqa_logits_sums.cuh"
_MMA = "mma/sm90_fp8_heads.cuh"
# Several blocks and tiles for each of two CTAs.
_RAGGED = mqa_case(
  9, 531, 64, 64, [(3, 400), (500, 400), (129, 531), (0, 2), (530, 531)]
)
_BEYOND = mqa_case(3, 37, 64, 32, [(-9, 2**31 - 1), (7, -5), (60, 70)])
_COMPRESSED = mqa_case(5, 300, 32, 32, [(250, 300), (3, 9)], max_seqlen_k=30)
_BFLOAT16 = mqa_case(5, 45, 32, 32, [(3, 30), (7, 9)], float32_out=False)
# A tile each, so that a block is loaded while the one before is in use.
_SHORT = mqa_case(30, 70, 64, 32, [(3, 70), (7, 9)], num_sms=1, num_stages=4)
_BLOCKS = mqa_case(37, 531, 64, 64, [(3, 531), (0, 500)], num_sms=3)


MQA_MUTATIONS = (
  Mutation(
    "mqa_keys_loaded_over_those_in_use",
    _LOAD,
    "      wait(stage.empty, ring.parity() ^ 1);\n",
    "",
    _RAGGED,
  ),
  Mutation(
    "mqa_queries_loaded_over_those_in_use",
    _LOAD,
    "    wait(stage.empty, queries.parity() ^ 1);\n",
    "",
    _SHORT,
  ),
  Mutation(
    "mqa_keys_not_awaited",
    _KERNEL,
    "    wait(stage.full, ring.parity());\n",
    "",
    _RAGGED,
  ),
  Mutation(
    "mqa_queries_not_awaited",
    _KERNEL,
    "    wait(query.full, tiles.queries.parity());\n",
    "",
    _RAGGED,
  ),
  Mutation(
    "mqa_too_few_bytes",
    _TYPES,
    "kBlockKv * (kHeadDim + 4)",
    "kBlockKv * kHeadDim",
    _RAGGED,
  ),
  Mutation(
    "mqa_stage_released_before_the_last_product",
    _KERNEL,
    "    wait_heads_mma<kNext == Next::kNothing ? 0 : 1>(second);\n"
    "    release(stage.empty, worker.lane);\n",
    "    release(stage.empty, worker.lane);\n"
    "    wait_heads_mma<kNext == Next::kNothing ? 0 : 1>(second);\n",
    _RAGGED,
  ),
  Mutation(
    "mqa_product_read_too_early",
    _KERNEL,
    "wait_heads_mma<kNext == Next::kNothing ? 0 : 1>",
    "wait_heads_mma<1>",
    _RAGGED,
  ),
  Mutation(
    "mqa_both_banks_of_the_first_queries",
    _KERNEL,
    "q_address + bank * Traits::kBankN",
    "q_address + bank / 2 * Traits::kBankN",
    _RAGGED,
  ),
  Mutation(
    "mqa_second_bank_keeps_the_weights_of_the_block_before",
    _KERNEL,
    "      Sums::load_weights(block.weights[1], *block.query, 1, worker.lane);"
    "\n",
    "",
    _SHORT,
  ),
  Mutation(
    "mqa_queries_released_before_their_last_product",
    _KERNEL,
    "      enter(worker, tiles);\n",
    "      enter(worker, tiles);\n      release(query.empty, worker.lane);\n",
    _SHORT,
  ),
  Mutation(
    "mqa_scale_of_another_row",
    _KERNEL,
    "stage.scales[worker.row]",
    "stage.scales[worker.row / 2]",
    _RAGGED,
  ),
  Mutation(
    "mqa_registers_not_fenced",
    _MMA,
    "  ptx::wgmma_fence();\n",
    "",
    _RAGGED,
  ),
  Mutation(
    "mqa_swizzle_of_other_vectors",
    _MMA,
    "kRowBytes == 64 ? 2 : 3",
    "kRowBytes == 64 ? 3 : 2",
    _RAGGED,
  ),
  Mutation(
    "mqa_negative_sums_kept",
    _SUMS,
    "x + fabsf(x)",
    "x + x",
    _RAGGED,
  ),
  Mutation(
    "mqa_weights_of_maxima_not_doubled",
    _SUMS,
    "is_maximum(2 * group) ? 2 * pair.x : pair.x",
    "pair.x",
    mqa_case(5, 45, 32, 32, [(3, 30), (7, 9)], max_columns=2),
  ),
  Mutation(
    "mqa_weights_of_the_first_bank",
    _SUMS,
    "bank * Traits::kBankN + lane % 4 * 2",
    "lane % 4 * 2",
    _RAGGED,
  ),
  Mutation(
    "mqa_quad_half_summed",
    _SUMS,
    "own[i] = kept + from(sent, 1);",
    "own[i] = kept;",
    _RAGGED,
  ),
  Mutation(
    "mqa_keys_outside_of_ranges_stored",
    _SUMS,
    "stores && key - row.keys.start < row.keys.count",
    "stores",
    _RAGGED,
  ),
  Mutation(
    "mqa_ends_not_cut",
    _TYPES,
    "max(min(params.ends[row], num_keys), start)",
    "max(params.ends[row], start)",
    _BEYOND,
  ),
  Mutation(
    "mqa_starts_not_cut",
    _TYPES,
    "min(max(params.starts[row], 0), num_keys)",
    "params.starts[row]",
    _BEYOND,
  ),
  Mutation(
    "mqa_columns_not_cut",
    _TYPES,
    "params.compressed ? min(count, params.width) : count",
    "count",
    _COMPRESSED,
  ),
  Mutation(
    "mqa_columns_begin_with_key_zero",
    _TYPES,
    "params.compressed ? base - keys.start : base",
    "base",
    _COMPRESSED,
  ),
  Mutation(
    "mqa_rows_past_the_end",
    _TYPES,
    "  if (row >= params.num_rows) return {0, {0, 0}};\n",
    "",
    _RAGGED,
  ),
  Mutation(
    "mqa_blocks_begin_with_the_first_tile",
    _LOAD,
    "own.first, i) + skipped",
    "own.first, i)",
    _BLOCKS,
  ),
  Mutation(
    "mqa_rows_of_another_block",
    _LOAD,
    "load_queries(params, queries, block + i,",
    "load_queries(params, queries, block + i / 2,",
    _BLOCKS,
  ),
  Mutation(
    "mqa_tiles_end_with_the_first_row",
    _SCHEDULE,
    "max(end, keys.count == 0 ? 0 : keys.start + keys.count)",
    "keys.start + keys.count",
    _RAGGED,
  ),
  Mutation(
    "mqa_sums_not_awaited",
    _SCAN,
    "  __syncthreads();\n  u32 before",
    "  u32 before",
    _RAGGED,
  ),
  Mutation(
    "mqa_head_of_a_row_not_filled",
    _FILL,
    "    if (lane_ < head) first[lane_] = element();\n",
    "",
    _BFLOAT16,
  ),
  Mutation(
    "mqa_tail_of_a_row_not_filled",
    _FILL,
    "    if (tail < count) first[tail] = element();\n",
    "",
    _BFLOAT16,
  ),
  Mutation(
    "mqa_head_too_long",
    _FILL,
    "min((kPerWord - behind) % kPerWord, count)",
    "(kPerWord - behind) % kPerWord",
    _BFLOAT16,
  ),
  Mutation(
    "mqa_previous_kernel_not_awaited",
    _KERNEL,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _RAGGED,
  ),
)
