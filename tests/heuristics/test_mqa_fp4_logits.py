"""Configurations of the FP4 MQA logits: legal ones, and what is chosen."""

import pytest

from jax_deepgemm.heuristics.device import H200, KNOWN
from jax_deepgemm.heuristics.sm90_fp8_fp4_mqa_logits import (
  choose,
  legal_fp4_mqa_configs,
)
from tests.heuristics.test_mqa_logits import SIZES, problem


@pytest.mark.parametrize("device", KNOWN.values(), ids=lambda d: d.name)
def test_legal_configurations_fit_the_device(device):
  for heads, dim in SIZES:
    configs = list(legal_fp4_mqa_configs(problem(heads, dim), device))
    assert len(set(configs)) == len(configs) >= 3
    for config in configs:
      assert config.smem_bytes <= device.smem_bytes
      assert config.num_stages >= 4
      assert config.num_threads == 512
      assert config.block_q <= 32


def test_the_chosen_form_depends_on_no_number_of_rows():
  for heads, dim in SIZES:
    chosen = choose(problem(heads, dim), H200)
    assert choose(problem(heads, dim, rows=1, keys=3), H200) == chosen
    assert chosen.bank_n == (64 if heads == 8 else 128)


def test_what_the_kernel_cannot_count_is_refused():
  with pytest.raises(NotImplementedError, match="fp8_fp4_mqa_logits has a Hop"):
    choose(problem(64, 128, rows=2**26), H200)
