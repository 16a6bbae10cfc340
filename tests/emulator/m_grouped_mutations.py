"""Mistakes in the M-grouped GEMM that the emulator must find."""

from tests.emulator.m_grouped_case import grouped_case
from tests.emulator.mutations import Mutation
from tests.emulator.wrong_groups import INDEX_IDS, PSUM_ENDS

_GEMM = "kernels/sm90_fp8_gemm.cuh"
_LOAD = "kernels/sm90_fp8_gemm_load.cuh"
_STORE = "kernels/sm90_fp8_gemm_store.cuh"
_GROUPS = "common/row_groups.cuh"
_SCHEDULER = "common/grouped_tile_scheduler.cuh"
_ROWS = "common/row_store.cuh"
_ZEROS = "common/zero_rows.cuh"

_RAGGED = grouped_case("ragged", (3, 0, 70, 1, 17), 100, 256, m=101, block_n=64)
_MANY = grouped_case("ragged", (1, 0, 2) * 15, 40, 128, m=50, block_n=32)
_HUNDREDS = grouped_case("ragged", (1, 0) * 150, 40, 128, m=150, block_n=32)
# Of the last tile some warpgroups have no row, of the first some slabs.
_SLABS = grouped_case(
  "psum", (70, 200), 72, 256, m=330, alignment=64, num_slabs=2, block_n=64
)

M_GROUPED_MUTATIONS = (
  # Which rows and tiles are whose.
  Mutation(
    "m_grouped_numbers_not_awaited",
    _GROUPS,
    "    __syncthreads();\n    if (threadIdx.x < 32) scan",
    "    if (threadIdx.x < 32) scan",
    _HUNDREDS,
  ),
  Mutation(
    "m_grouped_table_not_awaited",
    _GROUPS,
    "threadIdx.x, block_rows, tiles_per_block);\n    __syncthreads();\n",
    "threadIdx.x, block_rows, tiles_per_block);\n",
    _RAGGED,
  ),
  Mutation(
    "m_grouped_numbers_not_limited",
    _GROUPS,
    "max(groups.numbers[i], 0)), groups.num_rows)",
    "max(groups.numbers[i], 0)), groups.num_rows + 64)",
    PSUM_ENDS,
  ),
  Mutation(
    "m_grouped_falling_ends_overlap",
    _GROUPS,
    "end = max(prefix_max(begin, lane), row);",
    "end = begin;",
    PSUM_ENDS,
  ),
  Mutation(
    "m_grouped_groups_not_aligned",
    _GROUPS,
    "min((last + groups.alignment - 1) / groups.alignment * groups.alignment, "
    "groups.num_rows)",
    "last",
    PSUM_ENDS,
  ),
  Mutation(
    "m_grouped_rows_not_carried",
    _GROUPS,
    "      row = ptx::shuffle(sum, 31);\n",
    "",
    _MANY,
  ),
  Mutation(
    "m_grouped_tiles_not_carried",
    _GROUPS,
    "      tile += ptx::shuffle(tiles, 31);\n",
    "      tile = ptx::shuffle(tiles, 31);\n",
    _MANY,
  ),
  Mutation(
    "m_grouped_next_group_late",
    _SCHEDULER,
    "index_ >= table_.first_tile[group_ + 1]",
    "index_ > table_.first_tile[group_ + 1]",
    _RAGGED,
  ),
  Mutation(
    "m_grouped_rows_of_the_first_group",
    _SCHEDULER,
    "rows.begin + index.m * block_rows_",
    "index.m * block_rows_",
    _RAGGED,
  ),
  # Loads and products.
  Mutation(
    "m_grouped_scales_not_aligned",
    _LOAD,
    "row - Traits::scale_shift(row), k_block",
    "row, k_block",
    _RAGGED,
  ),
  Mutation(
    "m_grouped_scales_not_shifted",
    _GEMM,
    "sfa[kBlock][row + worker.scale_shift]",
    "sfa[kBlock][row]",
    _RAGGED,
  ),
  Mutation(
    "m_grouped_bytes_of_dead_slabs",
    _LOAD,
    "(kNumSlabs - live_slabs) * kConfig",
    "(kNumSlabs - live_slabs - 1) * kConfig",
    _SLABS,
  ),
  Mutation(
    "m_grouped_skipped_stage_not_awaited",
    _GEMM,
    "      if (!ready) wait(Traits::operands(stage), ring.parity());\n"
    "      finish_stage",
    "      finish_stage",
    _SLABS,
  ),
  # Results.
  Mutation(
    "m_grouped_box_over_the_next_group",
    _STORE,
    "row_ + slab * 64 + kStoreRows <= end_",
    "row_ + slab * 64 < end_",
    _RAGGED,
  ),
  Mutation(
    "m_grouped_rows_of_the_next_group",
    _ROWS,
    "r < end && ",
    "",
    _RAGGED,
  ),
  Mutation(
    "m_grouped_columns_past_the_row",
    _ROWS,
    " && column < target.pitch",
    "",
    _RAGGED,
  ),
  # Zeros.
  Mutation(
    "m_grouped_rows_behind_the_last_group",
    _ZEROS,
    "is_last ? groups.num_rows :",
    "is_last ? ranges[g].end :",
    _RAGGED,
  ),
  Mutation(
    "m_grouped_rows_between_groups",
    _ZEROS,
    "ranges[g + 1].begin;",
    "ranges[g].end;",
    _SLABS,
  ),
  Mutation(
    "m_grouped_ids_past_the_last_group",
    _ZEROS,
    " || groups.row_ids[row] >= static_cast<int>(groups.num_groups)",
    "",
    INDEX_IDS,
  ),
)
