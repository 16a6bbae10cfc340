"""Mistakes in the MQA logits of FP4 vectors that the emulator must find."""

from tests.emulator.mqa_fp4_case import fp4_mqa_case
from tests.emulator.mutations import Mutation
from tests.mqa_fp4_data import EXACT, ONE_MORE, WIDE

_TYPES = "kernels/sm90_fp8_fp4_mqa_logits_types.cuh"
_DECODE = "kernels/sm90_fp8_fp4_mqa_logits_decode.cuh"
_WIDE = "kernels/sm90_fp8_fp4_mqa_logits_wide.cuh"
_VECTOR = "common/fp4_vector.cuh"
_STAGE = "kernels/sm90_fp8_fp4_mqa_logits_vector.cuh"
# Several blocks and tiles for a CTA, and a ring that goes round.
_TILES = fp4_mqa_case(
  9,
  300,
  64,
  64,
  [(0, 290), (3, 200)],
  q_exponents=EXACT,
  key_exponents=EXACT,
  num_sms=1,
)
_ONE_MORE = fp4_mqa_case(2, 60, 16, 64, [(0, 60)], key_exponents=ONE_MORE)
# A tile each, so that a block is decoded while the one before is in use.
_SHORT = fp4_mqa_case(
  30, 70, 64, 32, [(3, 70), (7, 9)], num_sms=1, num_stages=4
)
_SOME_WIDE = fp4_mqa_case(
  5, 140, 16, 64, [(3, 140), (7, 30)], q_exponents=WIDE, wide_every=3
)

MQA_FP4_MUTATIONS = (
  Mutation(
    "mqa_fp4_decoded_vectors_not_fenced",
    _STAGE,
    "    ptx::fence_proxy_async();\n",
    "",
    _TILES,
  ),
  Mutation(
    "mqa_fp4_keys_decoded_before_they_are_there",
    _DECODE,
    "        wait(from.full, keys.parity);\n",
    "",
    _TILES,
  ),
  Mutation(
    "mqa_fp4_keys_decoded_over_those_in_use",
    _DECODE,
    "        wait(to.empty, keys.parity ^ 1);\n",
    "",
    _TILES,
  ),
  Mutation(
    "mqa_fp4_queries_decoded_over_those_in_use",
    _DECODE,
    "    wait(to.empty, block / kStages % 2 ^ 1);\n",
    "",
    _SHORT,
  ),
  Mutation(
    "mqa_fp4_codes_released_before_they_are_read",
    _STAGE,
    "    __syncwarp();\n",
    "",
    _TILES,
  ),
  Mutation(
    "mqa_fp4_scales_of_queries_left_out",
    _DECODE,
    "from.weights[pair] * scale;",
    "from.weights[pair];",
    _TILES,
  ),
  Mutation(
    "mqa_fp4_wrong_bytes_awaited",
    _TYPES,
    "kColumns * (kCodeBytes + 8)",
    "kColumns * (kCodeBytes + 4)",
    _TILES,
  ),
  Mutation(
    "mqa_fp4_swizzle_of_other_rows",
    _VECTOR,
    "row * kRowBytes / 128 %",
    "row * kRowBytes / 64 %",
    _TILES,
  ),
  Mutation(
    "mqa_fp4_one_binade_too_many",
    _VECTOR,
    "largest - smallest > kMostFp4Shift ||",
    "largest - smallest > kMostFp4Shift + 1 ||",
    _ONE_MORE,
  ),
  Mutation(
    "mqa_fp4_wide_vectors_not_noticed",
    _STAGE,
    "    if (fold.is_wide) raw.any_wide = 1;\n",
    "",
    _SOME_WIDE,
  ),
  Mutation(
    "mqa_fp4_wide_logits_outside_of_ranges",
    _WIDE,
    "has_key && own - target.keys.start < target.keys.count",
    "has_key",
    _SOME_WIDE,
  ),
  Mutation(
    "mqa_fp4_wide_tiles_begin_with_the_first",
    _WIDE,
    "own.first + skipped + i",
    "own.first + i",
    fp4_mqa_case(1, 400, 16, 64, [(3, 400)], key_exponents=WIDE, wide_every=9),
  ),
)
