"""Configurations of the paged MQA logits: legal ones, and the chosen one."""

import itertools

import pytest

from jax_deepgemm.heuristics.device import H200, KNOWN
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import (
  PagedMqaProblem,
  choose,
  legal_paged_mqa_configs,
)

SIZES = list(itertools.product((8, 16, 32, 64), (32, 64, 128), (32, 64)))
NEXT_NS = (1, 2, 3, 6, 9, 33, 100)


def problem(heads, dim, block_kv=64, next_n=1, **fields):
  sizes = {"batch": 256, "num_pages": 9999, "max_pages": 128, "width": 8192}
  return PagedMqaProblem(
    next_n=next_n,
    num_heads=heads,
    head_dim=dim,
    block_kv=block_kv,
    **(sizes | fields),
  )


@pytest.mark.parametrize("device", KNOWN.values(), ids=lambda d: d.name)
def test_legal_configurations_fit_the_device(device):
  for sizes, next_n in itertools.product(SIZES, NEXT_NS):
    configs = list(legal_paged_mqa_configs(problem(*sizes, next_n), device))
    assert len(set(configs)) == len(configs) >= 4
    for config in configs:
      assert config.smem_bytes <= device.smem_bytes
      # What keeps the memory busy: 48 KB on their way.
      in_flight = config.num_stages * 64 * (config.head_dim + 4)
      assert in_flight >= 48 * 1024
      assert config.block_q <= 32
      assert config.bank_n % config.num_heads == 0
      # The fewest blocks of 512 pairs of row and head, or of 32 rows.
      most = min(512 // config.num_heads, 32)
      assert -(-next_n // config.block_q) <= -(-next_n // most)


def test_the_chosen_form_is_legal_and_depends_on_no_length():
  for sizes, next_n in itertools.product(SIZES, NEXT_NS):
    small = problem(*sizes, next_n)
    chosen = choose(small, H200)
    assert chosen in legal_paged_mqa_configs(small, H200)
    large = problem(*sizes, next_n, batch=1, max_pages=9, width=17)
    assert choose(large, H200) == chosen


def test_products_are_no_wider_than_rows_need():
  found = {
    (heads, next_n): choose(problem(heads, 128, next_n=next_n), H200)
    for heads in (32, 64)
    for next_n in (1, 2, 3, 6)
  }
  assert {key: (c.bank_n, c.max_banks) for key, c in found.items()} == {
    (32, 1): (32, 1),
    (32, 2): (64, 1),
    (32, 3): (128, 1),
    (32, 6): (64, 3),
    (64, 1): (64, 1),
    (64, 2): (128, 1),
    (64, 3): (64, 3),
    (64, 6): (128, 3),
  }


def test_rows_with_indices_have_narrow_products():
  chosen = choose(problem(64, 128, is_varlen=True), H200)
  assert (chosen.bank_n, chosen.max_banks, chosen.block_q) == (64, 4, 4)


@pytest.mark.parametrize(
  "fields",
  [
    {"batch": 2**26},
    {"num_pages": 2**31},
    {"width": 2**31},
    {"batch": 2**20, "max_pages": 2**13, "width": 2**30},
  ],
)
def test_what_the_kernel_cannot_count_is_refused(fields):
  with pytest.raises(NotImplementedError, match="fewer than 2\\*\\*31 columns"):
    choose(problem(64, 128, **fields), H200)
