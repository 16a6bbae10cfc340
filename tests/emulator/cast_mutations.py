"""Mistakes in the casts' kernels, each a change of one place."""

from jax_deepgemm.heuristics.sm90_cast import CastSource
from tests.emulator.cast_case import cast_case
from tests.emulator.mutations import Mutation

_ROWS = "kernels/sm90_cast_rows.cuh"
_TILE = "kernels/sm90_cast_tile.cuh"
_TRANSPOSED = "common/transposed_tile.cuh"
_VALUES = "common/cast_values.cuh"
_FP4_VALUES = "common/fp4_values.cuh"
_SCALE = "common/block_scale.cuh"
_GROUPS = "common/k_group_block.cuh"
_SOURCE = "common/cast_source.cuh"

_ROW = cast_case("rows", 6, 264, mn_major=True)
# With blocks whose largest element is in their second half.
_LONG_ROW = cast_case("rows", 6, 1032)
_NARROW = cast_case("rows", 5, 75, gran=32, use_ue8m0=True)
_BAD = cast_case("rows", 33, 136, use_ue8m0=True)
_FP4 = cast_case(
  "rows", *(33, 134), gran=32, fp4=True, use_ue8m0=True, packed=True
)
_TURNED = cast_case("transposed", 137, 135)
_BOTH = cast_case("both", 144, 264)
_BLOCK = cast_case("blocks", 150, 264)
_GROUPED = cast_case("grouped", 300, 136, sizes=(130, 0, 5, 128))
_NEAR = cast_case("both", 33, 256, source=CastSource.SWIGLU_GRADIENT)
_PERMUTED = cast_case("both", 2, 33, 136, source=CastSource.GATHER)
_WEIGHTED = cast_case(
  "rows", 2, 5, 136, source=CastSource.WEIGHTED_SWIGLU, mn_major=True
)
_LIVE = cast_case(
  *("live_rows", 70, 136),
  source=CastSource.WEIGHTED_SWIGLU,
  sizes=(1,) * 33 + (0, 20),
)
_LIVE_VALUES = cast_case("live_values", 41, 131, sizes=(0, -3, 25))
_TWICE = cast_case("rows_grouped", 150, 136, sizes=(130, 0, 5))
_TOO_MANY = cast_case("grouped", 140, 50, sizes=(0, -3, 20, 300))


CAST_MUTATIONS = (
  Mutation(
    "cast_rows_read_early",
    _ROWS,
    "    if constexpr (!kConfig.counted) ptx::wait_for_previous_kernel();\n",
    "",
    _ROW,
  ),
  Mutation(
    "cast_tile_read_early",
    _TILE,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _TURNED,
  ),
  Mutation(
    "cast_row_past_the_last_is_read",
    _ROWS,
    "return row < params.num_rows ? count_of_eight",
    "return true ? count_of_eight",
    _ROW,
  ),
  Mutation(
    "cast_row_past_the_last_has_a_scale",
    _ROWS,
    "row < params.num_rows ? scale : 0.0f",
    "scale",
    _ROW,
  ),
  Mutation(
    "cast_half_a_block_has_its_own_scale",
    _ROWS,
    "low = high = max(low, high)",
    "low = low",
    _LONG_ROW,
  ),
  Mutation(
    "cast_narrow_blocks_share_lanes",
    _ROWS,
    "kLanes = kGran == 128 ? 8 : 4",
    "kLanes = 8",
    _NARROW,
  ),
  Mutation(
    "cast_fp4_tie_goes_up",
    _FP4_VALUES,
    "0x1FFFFF << 6",
    "0x200000 << 6",
    _FP4,
  ),
  Mutation(
    "cast_fp4_writes_minus_zero",
    _FP4_VALUES,
    "codes & (is_not_zero << 3 | 0x77777777)",
    "codes",
    _FP4,
  ),
  Mutation(
    "cast_fp4_next_to_a_bad_scale_is_encoded",
    _ROWS,
    "is_finite ? encode_e2m1",
    "true ? encode_e2m1",
    _FP4,
  ),
  Mutation(
    "cast_fp4_has_the_scale_of_e4m3",
    _ROWS,
    "kConfig.fp4 ? 6 : 448",
    "448",
    cast_case("rows", 9, 264, fp4=True),
  ),
  Mutation(
    "cast_fp4_scale_of_an_even_sixth_is_rounded_up",
    _FP4_VALUES,
    "+ 0x3FFFFF) & kExponent",
    "+ 0x400000) & kExponent",
    _FP4,
  ),
  Mutation(
    "cast_packed_scales_are_in_another_order",
    _ROWS,
    "threadIdx.x / 4 % 2 * 8",
    "threadIdx.x / 4 % 2 * 16",
    _FP4,
  ),
  Mutation(
    "cast_packed_scale_of_no_block_is_not_one",
    _ROWS,
    "__float_as_uint(scale) >> 23 : 127",
    "__float_as_uint(scale) >> 23 : 0",
    _FP4,
  ),
  Mutation(
    "cast_scale_is_rounded_down",
    _SCALE,
    "__float_as_uint(scale) + kMantissa",
    "__float_as_uint(scale)",
    _NARROW,
  ),
  Mutation(
    "cast_nan_is_rounded_up",
    _SCALE,
    "if (amax >= kInfinity)",
    "if (amax == kInfinity)",
    _BAD,
  ),
  Mutation(
    "cast_amax_is_not_clamped",
    _SCALE,
    "max(amax, kSmallestAmax)",
    "max(amax, 0u)",
    _ROW,
  ),
  Mutation(
    "cast_sign_is_not_removed", _VALUES, "bits(i) & 0x7FFFFFFF", "bits(i)", _ROW
  ),
  Mutation(
    "cast_odd_tail_is_read_whole",
    _VALUES,
    "if (i >= count) continue;",
    "",
    _TURNED,
  ),
  Mutation(
    "cast_amax_not_awaited",
    _TILE,
    "    share_amax(smem, at, x);\n    __syncthreads();\n",
    "    share_amax(smem, at, x);\n",
    _BLOCK,
  ),
  Mutation(
    "cast_scales_not_awaited",
    _TILE,
    "      __syncthreads();\n      if constexpr (kConfig.in_place())",
    "      if constexpr (kConfig.in_place())",
    _BOTH,
  ),
  Mutation(
    "cast_tile_not_awaited",
    _TILE,
    "      __syncthreads();\n      store_transposed",
    "      store_transposed",
    _TURNED,
  ),
  Mutation(
    "cast_other_half_of_the_rows_is_not_seen",
    _TILE,
    "        largest = max_of_lanes<2, 16>(largest);\n",
    "",
    _TURNED,
  ),
  Mutation(
    "cast_chunks_are_not_swapped",
    _TRANSPOSED,
    "return index % 2 == 0 ? both",
    "return true ? both",
    _BOTH,
  ),
  Mutation(
    "cast_transpose_past_its_last_row",
    _TILE,
    "first < end ? min(end - first, 16u) : 0",
    "16u",
    _TURNED,
  ),
  Mutation(
    "cast_padding_of_scales_is_not_zero",
    _TILE,
    "is_live ? scale.scale : 0.0f",
    "scale.scale",
    _GROUPED,
  ),
  Mutation(
    "cast_group_ends_with_its_block",
    _GROUPS,
    "min(ptx::shuffle(end, owner) - row, kGroupBlock)",
    "kGroupBlock",
    _GROUPED,
  ),
  Mutation(
    "cast_groups_past_the_last_row",
    _GROUPS,
    "const u32 end = min(sum, num_rows);",
    "const u32 end = sum;",
    _TOO_MANY,
  ),
  Mutation(
    "cast_negative_sizes_count",
    _GROUPS,
    "size > 0 ? min(static_cast<u32>(size), num_rows) : 0",
    "min(static_cast<u32>(size), num_rows)",
    _TOO_MANY,
  ),
  Mutation(
    "cast_row_of_no_x_is_gathered",
    _SOURCE,
    "row.is_found ? count : 0",
    "count",
    _PERMUTED,
  ),
  Mutation(
    "cast_gather_forgets_its_batch",
    _SOURCE,
    "(batch + index) * num_columns",
    "(0 * batch + index) * num_columns",
    _PERMUTED,
  ),
  Mutation(
    "cast_gradient_takes_another_row_of_dy",
    _SOURCE,
    "first - row.offset / 2",
    "first",
    _NEAR,
  ),
  Mutation(
    "cast_gradients_of_gate_and_up_are_swapped",
    _SOURCE,
    "{{gradient.gate, gradient.up}}",
    "{{gradient.up, gradient.gate}}",
    _NEAR,
  ),
  Mutation(
    "cast_up_has_the_scales_of_gate",
    _TILE,
    "at.tile + params.column_tiles / 2",
    "at.tile",
    _NEAR,
  ),
  Mutation(
    "cast_row_scales_of_a_group_begin_at_its_block",
    _TILE,
    "const u32 row = rows.first + i;",
    "const u32 row = at.block * kCastTile + i;",
    _TWICE,
  ),
  Mutation(
    "cast_weights_of_another_row",
    _SOURCE,
    "source.row_factors[first + step]",
    "source.row_factors[step]",
    _WEIGHTED,
  ),
  Mutation(
    "cast_up_is_clamped_on_one_side",
    "common/swiglu.cuh",
    "below < -clamp ? -clamp : below",
    "below",
    _WEIGHTED,
  ),
  Mutation(
    "cast_sizes_read_early",
    _ROWS,
    "      ptx::wait_for_previous_kernel();\n      const u32 rows",
    "      const u32 rows",
    _LIVE,
  ),
  Mutation(
    "cast_takes_one_tile",
    _ROWS,
    "tile += gridDim.x",
    "tile += tiles",
    _LIVE,
  ),
  Mutation(
    "cast_groups_past_a_warp_are_not_counted",
    "common/group_rows.cuh",
    "group += 32",
    "group += num_groups",
    _LIVE,
  ),
  Mutation(
    "cast_live_values_of_the_other_half",
    _ROWS,
    "first_row + i * 4, column + 64, high)",
    "first_row + i * 4, column + 64, low)",
    _LIVE_VALUES,
  ),
  Mutation(
    "cast_live_values_behind_the_last_column",
    _VALUES,
    "if (i < count) values[first + i] = static_cast<u16>",
    "values[first + i] = static_cast<u16>",
    _LIVE_VALUES,
  ),
  Mutation(
    "cast_silu_without_its_sigmoid",
    "common/swiglu.cuh",
    "to_up[i] = dy_s * g;",
    "to_up[i] = dy.value(i) * g;",
    _NEAR,
  ),
)
