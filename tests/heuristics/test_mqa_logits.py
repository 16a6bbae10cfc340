"""Configurations of the MQA logits: legal ones, and the one that is chosen."""

import itertools

import pytest

from jax_deepgemm.heuristics.device import H200, KNOWN
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import (
  MqaLogitsProblem,
  choose,
  legal_mqa_configs,
)

SIZES = list(itertools.product((8, 16, 32, 64), (32, 64, 128)))


def problem(heads, dim, rows=4096, keys=8192):
  return MqaLogitsProblem(rows, keys, heads, dim, keys)


@pytest.mark.parametrize("device", KNOWN.values(), ids=lambda d: d.name)
def test_legal_configurations_fit_the_device(device):
  for heads, dim in SIZES:
    configs = list(legal_mqa_configs(problem(heads, dim), device))
    assert len(set(configs)) == len(configs) >= 3
    for config in configs:
      assert config.smem_bytes <= device.smem_bytes
      assert config.num_stages >= 4
      assert config.block_q * heads == 2 * config.bank_n


def test_the_chosen_form_is_legal_and_depends_on_no_number_of_rows():
  for heads, dim in SIZES:
    chosen = choose(problem(heads, dim), H200)
    assert chosen in legal_mqa_configs(problem(heads, dim), H200)
    assert choose(problem(heads, dim, rows=1, keys=3), H200) == chosen


@pytest.mark.parametrize(
  ("rows", "keys"), [(2**26, 3), (3, 2**31), (2**24, 2**20)]
)
def test_what_the_kernel_cannot_count_is_refused(rows, keys):
  with pytest.raises(NotImplementedError, match="fewer than 2\\*\\*31 keys"):
    choose(problem(64, 128, rows, keys), H200)
