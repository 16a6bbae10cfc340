// What kernels of groups of rows are told of them, as parameters of a __global__ function.
#pragma once

#include "common/tile_scheduler.cuh"
#include "common/zero_rows.cuh"

// Macros because entry points are (see sm90_fp8_gemm_entry.cuh). The order is that of `parameters`
// in primitives/m_grouped_kernel.py.
#define JDG_ROW_GROUPS_PARAMETERS                                                             \
  uint4 *d_rows, const int *group_numbers, const int *row_ids, jdg::u32 layout,               \
      jdg::u32 alignment, jdg::u32 fills, jdg::u32 m, jdg::u32 pitch, jdg::u32 words_per_row, \
      jdg::u32 num_n, jdg::u32 num_groups, jdg::u32 raster_width

#define JDG_ROW_GROUPS_GRID \
  jdg::TileGrid { 0, num_n, num_groups, raster_width }

#define JDG_ROW_GROUPS                                                                           \
  jdg::RowGroups{group_numbers, row_ids,   static_cast<jdg::GroupLayout>(layout), num_groups, m, \
                 alignment,     fills != 0}

#define JDG_ROW_GROUPS_D_ROWS \
  jdg::WordRows { d_rows, words_per_row }
