"""Mistakes in the paged MQA logits of FP4 vectors that must be found."""

from tests.emulator.mutations import Mutation
from tests.emulator.paged_mqa_fp4_case import fp4_paged_case
from tests.mqa_fp4_data import WIDE

_TYPES = "kernels/sm90_fp8_fp4_paged_mqa_logits_types.cuh"
_DECODE = "kernels/sm90_fp8_fp4_paged_mqa_logits_decode.cuh"
_WIDE = "kernels/sm90_fp8_fp4_paged_mqa_logits_wide.cuh"
# Rings that go round, two pages to a tile, and wide keys: tiles of both
# warpgroups, of blocks that a CTA begins in their middle.
_TILES = fp4_paged_case(
  [(9, 7), (500, 300), (9, 1), (100, 320)],
  16,
  128,
  32,
  16,
  512,
  key_exponents=WIDE,
  wide_every=20,
)
# A tile each, so that a block is decoded while the one before is in use; two
# products.
_SHORT = fp4_paged_case([(9, 7)] * 20, 64, 32, 64, 1, 64, bank_n=64, num_sms=1)

PAGED_MQA_FP4_MUTATIONS = (
  Mutation(
    "paged_fp4_keys_decoded_before_they_are_there",
    _DECODE,
    "        wait(from.full, packed.parity);\n",
    "",
    _TILES,
  ),
  Mutation(
    "paged_fp4_keys_decoded_over_those_in_use",
    _DECODE,
    "        wait(to.empty, keys.parity ^ 1);\n",
    "",
    _TILES,
  ),
  Mutation(
    "paged_fp4_queries_decoded_over_those_in_use",
    _DECODE,
    "    wait(to.empty, block / kStages % 2 ^ 1);\n",
    "",
    _SHORT,
  ),
  Mutation(
    "paged_fp4_first_rows_alone",
    _DECODE,
    "pair < num_banks * Decoded::kBankN",
    "pair < Decoded::kBankN",
    _SHORT,
  ),
  Mutation(
    "paged_fp4_second_page_follows_the_keys_of_the_first",
    _TYPES,
    "(kPageBytes / kVectorBytes)",
    "kConfig.block_kv",
    _TILES,
  ),
  Mutation(
    "paged_fp4_wide_logits_beyond_the_keys",
    _WIDE,
    "has_key && own < key_range(params_, row).count",
    "has_key",
    _TILES,
  ),
  Mutation(
    "paged_fp4_wide_tiles_of_the_first_warpgroup",
    _WIDE,
    "u32 own = warp_ / 4;",
    "u32 own = 0;",
    _TILES,
  ),
)
