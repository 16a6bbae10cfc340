"""Configurations of the FP4 paged MQA logits: legal, and the chosen one."""

import itertools

import pytest

from jax_deepgemm.heuristics.device import H200, KNOWN
from jax_deepgemm.heuristics.sm90_fp8_fp4_paged_mqa_logits import (
  choose,
  legal_fp4_paged_mqa_configs,
)
from tests.heuristics.test_paged_mqa_logits import NEXT_NS, SIZES, problem


@pytest.mark.parametrize("device", KNOWN.values(), ids=lambda d: d.name)
def test_legal_configurations_fit_the_device(device):
  for sizes, next_n in itertools.product(SIZES, NEXT_NS):
    configs = list(legal_fp4_paged_mqa_configs(problem(*sizes, next_n), device))
    assert len(set(configs)) == len(configs) >= 4
    for config in configs:
      assert config.smem_bytes <= device.smem_bytes
      # What keeps the memory busy: 32 KB on their way.
      tile_bytes = 64 * (config.head_dim // 2 + 4)
      assert config.num_packed_stages * tile_bytes >= 32 * 1024
      # A stage is always the same warp's, and the same warpgroup's.
      assert config.num_packed_stages % config.num_decode_warps == 0
      assert config.num_stages % config.num_decode_warps == 0
      assert config.num_stages % config.num_math_warpgroups == 0
      assert config.num_threads <= 768
      assert config.block_q <= 32
      assert config.bank_n % config.num_heads == 0
      # The fewest blocks of 256 pairs of row and head, or of 32 rows.
      most = min(256 // config.num_heads, 32)
      assert -(-next_n // config.block_q) <= -(-next_n // most)


def test_the_chosen_form_depends_on_no_length():
  for sizes, next_n in itertools.product(SIZES, NEXT_NS):
    chosen = choose(problem(*sizes, next_n), H200)
    large = problem(*sizes, next_n, batch=1, max_pages=9, width=17)
    assert choose(large, H200) == chosen


def test_products_are_no_wider_than_rows_need():
  found = {
    (heads, next_n): choose(problem(heads, 128, next_n=next_n), H200)
    for heads, next_n in ((8, 1), (64, 1), (64, 2), (64, 3), (32, 6), (8, 16))
  }
  assert {key: (c.bank_n, c.max_banks) for key, c in found.items()} == {
    (8, 1): (8, 1),
    (64, 1): (64, 1),
    (64, 2): (128, 1),
    (64, 3): (64, 3),
    (32, 6): (64, 3),
    (8, 16): (64, 2),
  }
  forms = {(c.num_math_warpgroups, c.num_decode_warps) for c in found.values()}
  assert forms == {(2, 8)}


def test_what_the_kernel_cannot_count_is_refused():
  with pytest.raises(NotImplementedError, match="fp8_fp4_paged_mqa_logits has"):
    choose(problem(64, 128, batch=2**26), H200)
