"""Mistakes in the selection of largest values that the emulator must find."""

from tests.emulator.mutations import Mutation
from tests.emulator.row_topk_case import RowTopkCase

_KERNEL = "kernels/sm90_row_topk.cuh"
_TYPES = "kernels/sm90_row_topk_types.cuh"
_APPEND = "kernels/sm90_row_topk_append.cuh"
_KEEP = "kernels/sm90_row_topk_keep.cuh"
_SORT = "kernels/sm90_row_topk_sort.cuh"
_ORDER = "kernels/sm90_row_topk_order.cuh"
# Larger values with each step, so that there are many selections; of too many
# for a sample.
_RISING = RowTopkCase("rising", 2, 1501, 160, ((3, 1400), (9, 900)), 1500)
_TIED = RowTopkCase("tied", 1, 1203, 90, ((5, 1300),), 1300)
_SPECIAL = RowTopkCase("special", 2, 703, 200, ((0, 703),), 703)
# All of a row's values are among the largest.
_FEW = RowTopkCase("special", 2, 303, 200, ((0, 190), (9, 9)), 303)
_CUT = RowTopkCase("special", 2, 705, 60, ((2, 705), (7, 60)), 705, parts=3)
# More than there is room for twice: sorted by the network.
_MANY = RowTopkCase("normal", 1, 700, 330, ((0, 700),), 700, capacity=640)
_BEYOND = RowTopkCase("rising", 2, 301, 40, ((-9, 200), (250, 999)), 300)


ROW_TOPK_MUTATIONS = (
  Mutation(
    "topk_candidates_counted_too_early",
    _KERNEL,
    "      __syncthreads();\n      count += ",
    "      count += ",
    _RISING,
  ),
  Mutation(
    "topk_counter_not_cleared",
    _KERNEL,
    "      if (threadIdx.x == 0) smem.added[after(counter)] = 0;\n",
    "",
    _RISING,
  ),
  Mutation(
    "topk_counter_cleared_in_use",
    _KERNEL,
    "counter == Traits::kNumCounters - 1",
    "counter == Traits::kNumCounters - 2",
    _RISING,
  ),
  Mutation(
    "topk_nan_left_out",
    _KERNEL,
    "!(values.x[i] <= bound)",
    "values.x[i] > bound",
    _SPECIAL,
  ),
  Mutation(
    "topk_row_without_end",
    _KERNEL,
    "(kInside || column < row.count)",
    "true",
    _FEW,
  ),
  Mutation(
    "topk_vector_beyond_the_row",
    _KERNEL,
    "first < row.count && row.count - first >= Traits::kStep",
    "first < row.count",
    _SPECIAL,
  ),
  Mutation(
    "topk_vectors_from_the_first_value",
    _KERNEL,
    "reinterpret_cast<u64>(row.values)) / 4 % 4",
    "reinterpret_cast<u64>(row.values)) / 4 % 1",
    _SPECIAL,
  ),
  Mutation(
    "topk_parts_with_keys_of_the_first",
    _KERNEL,
    "start + begin}",
    "static_cast<u32>(start)}",
    _CUT,
  ),
  Mutation(
    "topk_nothing_listed_as_a_key",
    _KERNEL,
    "row.keys[column] >= 0",
    "row.keys[column] >= -1",
    _CUT,
  ),
  Mutation(
    "topk_starts_not_cut",
    _KERNEL,
    "min(max(params.starts[row], 0), num_keys)",
    "params.starts[row]",
    _BEYOND,
  ),
  Mutation(
    "topk_ends_not_cut",
    _KERNEL,
    "max(min(params.ends[row], num_keys), start)",
    "max(params.ends[row], start)",
    _BEYOND,
  ),
  Mutation(
    "topk_previous_kernel_not_awaited",
    _KERNEL,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _BEYOND,
  ),
  Mutation(
    "topk_higher_column_first",
    _TYPES,
    "static_cast<u64>(order) << 32 | ~column",
    "static_cast<u64>(order) << 32 | column",
    _TIED,
  ),
  Mutation(
    "topk_zeros_with_signs",
    _TYPES,
    "value + 0.0f",
    "value",
    _FEW,
  ),
  Mutation(
    "topk_nan_with_a_sign",
    _TYPES,
    "value != value ? ~0u : ",
    "",
    _SPECIAL,
  ),
  Mutation(
    "topk_same_place_for_a_threads_values",
    _APPEND,
    "    next += __popc(votes[i]);\n",
    "",
    _RISING,
  ),
  Mutation(
    "topk_bins_not_cleared",
    _KEEP,
    "      bins[i] = 0;\n",
    "",
    _RISING,
  ),
  Mutation(
    "topk_bins_of_what_lies_above",
    _KEEP,
    "candidate >= first && beyond <= excess",
    "candidate >= first",
    _TIED,
  ),
  Mutation(
    "topk_higher_bins_not_counted",
    _KEEP,
    "      k -= found.above;\n",
    "",
    _SPECIAL,
  ),
  Mutation(
    "topk_higher_lines_not_counted",
    _KEEP,
    "found.bin, k - found.above)",
    "found.bin, k)",
    _RISING,
  ),
  Mutation(
    "topk_lines_read_too_early",
    _KEEP,
    "    __syncthreads();\n    return find(smem, k);",
    "    return find(smem, k);",
    _RISING,
  ),
  Mutation(
    "topk_few_compared_too_early",
    _KEEP,
    "    __syncthreads();\n    const u32 num_few",
    "    const u32 num_few",
    _RISING,
  ),
  Mutation(
    "topk_sample_trusted",
    _KERNEL,
    "if (rank == 0 || count >= params.k) break;",
    "break;",
    _TIED,
  ),
  Mutation(
    "topk_last_of_a_bin_missed",
    _KEEP,
    "k - above <= own[i]",
    "k - above < own[i]",
    _TIED,
  ),
  Mutation(
    "topk_bins_read_too_early",
    _KEEP,
    "      }\n    }\n    __syncthreads();\n  }\n\n  // A thread's bins",
    "      }\n    }\n  }\n\n  // A thread's bins",
    _SPECIAL,
  ),
  Mutation(
    "topk_sums_not_awaited",
    "common/block_scan.cuh",
    "  __syncthreads();\n  u32 before",
    "  u32 before",
    _RISING,
  ),
  Mutation(
    "topk_candidates_written_before_they_are_read",
    _KEEP,
    "      __syncthreads();\n      append(",
    "      append(",
    _RISING,
  ),
  Mutation(
    "topk_kept_on_top_of_those_before",
    _KEEP,
    "    if (threadIdx.x == 0) smem.kept = 0;\n",
    "",
    _RISING,
  ),
  Mutation(
    "topk_warps_do_not_wait_for_each_other",
    _SORT,
    "max(distance, next) > 32",
    "max(distance, next) > 64",
    _MANY,
  ),
  Mutation(
    "topk_all_runs_descend",
    _SORT,
    "(i & run) == 0",
    "(i & run) <= run",
    _MANY,
  ),
  Mutation(
    "topk_old_candidates_sorted_in",
    _SORT,
    "smem.candidates[i] = 0;",
    "smem.candidates[i] = smem.candidates[i];",
    _MANY,
  ),
  Mutation(
    "topk_dealt_before_bins_begin",
    _ORDER,
    "      place += own[i];\n    }\n    __syncthreads();\n",
    "      place += own[i];\n    }\n",
    _RISING,
  ),
  Mutation(
    "topk_placed_before_all_are_dealt",
    _ORDER,
    "= candidate;\n    }\n    __syncthreads();\n#pragma",
    "= candidate;\n    }\n#pragma",
    _RISING,
  ),
  Mutation(
    "topk_bin_begins_where_it_ends",
    _ORDER,
    "0 : smem.bins[bin + 1]",
    "0 : smem.bins[bin]",
    _RISING,
  ),
  Mutation(
    "topk_crowds_not_forgotten",
    _ORDER,
    "    if (threadIdx.x == 0) smem.is_crowded = false;\n",
    "",
    _RISING,
  ),
)
