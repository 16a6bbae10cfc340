"""Mistakes in the casts' kernels, each a change of one place."""

import dataclasses

from tests.emulator.cast_case import CastCase, cast_case

_ROWS = "kernels/sm90_cast_rows.cuh"
_TILE = "kernels/sm90_cast_tile.cuh"
_TRANSPOSED = "common/transposed_tile.cuh"
_VALUES = "common/cast_values.cuh"
_SCALE = "common/block_scale.cuh"
_GROUPS = "common/k_group_block.cuh"

_ROW = cast_case("rows", 6, 264, mn_major=True)
_NARROW = cast_case("rows", 5, 75, gran=32, use_ue8m0=True)
_BAD = cast_case("rows", 33, 136, use_ue8m0=True)
_TURNED = cast_case("transposed", 137, 135)
_BOTH = cast_case("both", 144, 264)
_BLOCK = cast_case("blocks", 150, 264)
_GROUPED = cast_case("grouped", 300, 136, sizes=(130, 0, 5, 128))
_TOO_MANY = cast_case("grouped", 140, 50, sizes=(0, -3, 20, 300))


@dataclasses.dataclass(frozen=True)
class CastMutation:
  """`old`, which `path` has once, becomes `new`; `case` shows the mistake."""

  name: str
  path: str
  old: str
  new: str
  case: CastCase


CAST_MUTATIONS = (
  CastMutation(
    "rows_read_early",
    _ROWS,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _ROW,
  ),
  CastMutation(
    "tile_read_early",
    _TILE,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _TURNED,
  ),
  CastMutation(
    "row_past_the_last_is_read",
    _ROWS,
    "return row < params.num_rows ? count_of_eight",
    "return true ? count_of_eight",
    _ROW,
  ),
  CastMutation(
    "row_past_the_last_has_a_scale",
    _ROWS,
    "row < params.num_rows ? scale : 0.0f",
    "scale",
    _ROW,
  ),
  CastMutation(
    "half_a_block_has_its_own_scale",
    _ROWS,
    "low = high = max(low, high)",
    "low = low",
    _ROW,
  ),
  CastMutation(
    "narrow_blocks_share_lanes",
    _ROWS,
    "kLanes = kGran == 128 ? 8 : 4",
    "kLanes = 8",
    _NARROW,
  ),
  CastMutation(
    "scale_is_rounded_down",
    _SCALE,
    "__float_as_uint(scale) + kMantissa",
    "__float_as_uint(scale)",
    _NARROW,
  ),
  CastMutation(
    "nan_is_rounded_up",
    _SCALE,
    "if (amax >= kInfinity)",
    "if (amax == kInfinity)",
    _BAD,
  ),
  CastMutation(
    "amax_is_not_clamped",
    _SCALE,
    "max(amax, kSmallestAmax)",
    "max(amax, 0u)",
    _ROW,
  ),
  CastMutation(
    "sign_is_not_removed", _VALUES, "bits(i) & 0x7FFFFFFF", "bits(i)", _ROW
  ),
  CastMutation(
    "odd_tail_is_read_whole", _VALUES, "if (i >= count) continue;", "", _TURNED
  ),
  CastMutation(
    "amax_not_awaited",
    _TILE,
    "    share_amax(smem, at, x);\n    __syncthreads();\n",
    "    share_amax(smem, at, x);\n",
    _BLOCK,
  ),
  CastMutation(
    "scales_not_awaited",
    _TILE,
    "      __syncthreads();\n      if constexpr (kConfig.in_place())",
    "      if constexpr (kConfig.in_place())",
    _BOTH,
  ),
  CastMutation(
    "tile_not_awaited",
    _TILE,
    "        __syncthreads();\n        store_transposed",
    "        store_transposed",
    _TURNED,
  ),
  CastMutation(
    "other_half_of_the_rows_is_not_seen",
    _TILE,
    "        largest = max_of_lanes<2, 16>(largest);\n",
    "",
    _TURNED,
  ),
  CastMutation(
    "chunks_are_not_swapped",
    _TRANSPOSED,
    "return index % 2 == 0 ? both",
    "return true ? both",
    _BOTH,
  ),
  CastMutation(
    "transpose_past_its_last_row",
    _TILE,
    "first < end ? min(end - first, 16u) : 0",
    "16u",
    _TURNED,
  ),
  CastMutation(
    "padding_of_scales_is_not_zero",
    _TILE,
    "is_live ? scale.scale : 0.0f",
    "scale.scale",
    _GROUPED,
  ),
  CastMutation(
    "group_ends_with_its_block",
    _GROUPS,
    "min(ptx::shuffle(end, owner) - row, kGroupBlock)",
    "kGroupBlock",
    _GROUPED,
  ),
  CastMutation(
    "groups_past_the_last_row",
    _GROUPS,
    "const u32 end = min(sum, num_rows);",
    "const u32 end = sum;",
    _TOO_MANY,
  ),
  CastMutation(
    "negative_sizes_count",
    _GROUPS,
    "size > 0 ? min(static_cast<u32>(size), num_rows) : 0",
    "min(static_cast<u32>(size), num_rows)",
    _TOO_MANY,
  ),
)
