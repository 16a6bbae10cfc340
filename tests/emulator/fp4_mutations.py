"""Mistakes in the GEMMs with FP4 weights that the emulator must find."""

from tests.emulator.fp4_gemm_case import fp4_case
from tests.emulator.mutations import Mutation
from tests.gpu.fp4_data import EXACT

_DECODE = "kernels/sm90_fp8_fp4_gemm_decode.cuh"
_MATH = "kernels/sm90_fp8_fp4_gemm_swapped_math.cuh"
_LOAD = "kernels/sm90_fp8_fp4_gemm_swapped_load.cuh"
_ROWS = "kernels/sm90_fp8_fp4_gemm_swapped_rows.cuh"
_TOKENS = "kernels/sm90_fp8_fp4_gemm_swapped_tokens.cuh"
_EXPONENTS = "common/fp4_exponents.cuh"
_FP4 = "common/fp4_decode.cuh"

# Small, with blocks of both kinds, and a ring that goes round.
_TILES = fp4_case(
  70,
  70,
  300,
  block_n=64,
  num_math_warpgroups=1,
  exponents=(111, 128),
  num_sms=1,
)
_ALL_SHIFTS = fp4_case(
  10, 70, 300, block_n=64, num_math_warpgroups=1, exponents=EXACT, num_sms=1
)
_FEW = fp4_case(
  5,
  70,
  416,
  swapped=True,
  num_splits=1,
  stage_k_blocks=1,
  exponents=(108, 128),
  float32_out=True,
)
_FEW_ROUNDS = fp4_case(
  5, 70, 512, swapped=True, num_splits=1, stage_k_blocks=2, float32_out=True
)
# Reordering takes a while, and a few rows of a stage are missing.
_MORE_TOKENS = fp4_case(
  29, 40, 512, swapped=True, num_splits=1, stage_k_blocks=2, float32_out=True
)
# Exponents as far apart as is too much by one.
_ONE_TOO_MANY = fp4_case(
  10,
  70,
  256,
  block_n=64,
  num_math_warpgroups=1,
  exponents=(112, 128),
  float32_out=True,
  num_sms=1,
)

FP4_MUTATIONS = (
  Mutation(
    "decoded_rows_not_fenced",
    _DECODE,
    "    ptx::fence_proxy_async();\n",
    "",
    _TILES,
  ),
  Mutation(
    "codes_overwritten_before_all_are_read",
    _DECODE,
    "    ptx::barrier_sync(kBarrier, kNumThreads);\n",
    "",
    _TILES,
  ),
  Mutation(
    "decoding_does_not_wait_for_codes",
    _DECODE,
    "        wait(stage.full, ring.parity());\n",
    "",
    _TILES,
  ),
  Mutation("wrong_swizzle_of_codes", _DECODE, "row / 2 % 4", "row % 4", _TILES),
  Mutation(
    "wrong_swizzle_of_rows",
    _DECODE,
    "2 * group ^ half.row % 8",
    "2 * group",
    _TILES,
  ),
  Mutation(
    "wide_blocks_are_folded",
    _DECODE,
    "wide ? 0 : min(",
    "min(",
    _TILES,
  ),
  Mutation(
    "wide_blocks_have_one_scale",
    _DECODE,
    "return stage.sfb[0][1] != 0;",
    "return false;",
    _TILES,
  ),
  Mutation(
    "nan_behind_the_end_of_k",
    _DECODE,
    "kNanExponent && group < num_groups",
    "kNanExponent",
    _TILES,
  ),
  Mutation(
    "a_shift_too_many",
    _FP4,
    "kMostFp4Shift = 14",
    "kMostFp4Shift = 15",
    _ONE_TOO_MANY,
  ),
  Mutation(
    "small_codes_flushed", _FP4, "shift < 12 ?", "shift < 13 ?", _ALL_SHIFTS
  ),
  Mutation(
    "signs_lost", _FP4, "kSigns = 0x80808080", "kSigns = 0x80808000", _TILES
  ),
  Mutation(
    "exponents_behind_the_end_of_k",
    _LOAD,
    "min(params.num_fp4_groups - known, kNumGroups)",
    "kNumGroups",
    _FEW,
  ),
  Mutation(
    "exponents_not_awaited",
    _LOAD,
    "      ptx::cp_async_arrive(stage.full);\n",
    "      ptx::mbarrier_arrive(stage.full);\n",
    _FEW,
  ),
  Mutation("other_words_of_codes", _ROWS, "row / 2 % 4", "row % 4", _FEW),
  Mutation(
    "groups_without_their_exponents", _EXPONENTS, "8 * group)", "8)", _FEW
  ),
  Mutation(
    "last_group_without_its_exponent",
    _EXPONENTS,
    ": packed >> 1;",
    ": packed << 1;",
    _FEW,
  ),
  Mutation(
    "bytes_of_missing_tokens_awaited", _LOAD, "Bytes - missing", "Bytes", _FEW
  ),
  Mutation(
    "tokens_of_the_first_block_only",
    _TOKENS,
    "(part + warp) % kBlockParts * 8",
    "(part + warp) * 8",
    _MORE_TOKENS,
  ),
  Mutation(
    "tokens_not_fenced",
    _TOKENS,
    "      ptx::fence_proxy_async();\n",
    "",
    _FEW,
  ),
  Mutation(
    "tokens_not_awaited",
    _MATH,
    "        wait(stage.ready, ring.parity());\n",
    "",
    _MORE_TOKENS,
  ),
  Mutation(
    "tokens_in_their_order",
    _TOKENS,
    "    split_halves(x, y);\n",
    "",
    _FEW,
  ),
  Mutation(
    "wrong_swizzle_of_tokens",
    _TOKENS,
    "lane % 4 * 2 ^ row",
    "lane % 4 * 2",
    _FEW,
  ),
  Mutation(
    "round_overwritten_while_multiplied",
    _MATH,
    "rounds[i % 2].decode(",
    "rounds[0].decode(",
    _FEW_ROUNDS,
  ),
)
