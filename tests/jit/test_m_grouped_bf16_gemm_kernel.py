"""The M-grouped BF16 GEMM compiles clean in every form that can be chosen."""

import dataclasses
import itertools
import random

import pytest

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.m_grouped_bf16_gemm import (
  choose_grouped,
  legal_grouped_configs,
)
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_problem import (
  MGroupedBf16GemmProblem,
)
from jax_deepgemm.primitives.sm90_m_grouped_bf16_gemm import recipe
from tests.jit.test_fp8_gemm_kernel import complaints

NUM_SAMPLED = 8
_FORMS = tuple(itertools.product((False, True), repeat=2))


def _problem(expected_m, form):
  float32_out, b_mn_major = form
  return MGroupedBf16GemmProblem(
    *(8192, 4096, 4096, 8, expected_m),
    float32_out=float32_out,
    b_mn_major=b_mn_major,
  )


def _chosen():
  return {
    choose_grouped(_problem(expected_m, form), H200)
    for expected_m in (20, 200, 4096)
    for form in _FORMS
  }


def _all():
  """Every form but for the number of stages."""
  unique = {}
  for form in _FORMS:
    for config in legal_grouped_configs(_problem(1024, form), H200):
      unique[dataclasses.replace(config, num_stages=3)] = config
  return sorted(unique.values(), key=str)


def _scattered():
  """Forms of which each row of the result has an address of its own."""
  return {
    dataclasses.replace(config, scatters_rows=True)
    for config in (*_fullest(), *_sampled())
    if not config.float32_out
  }


def _sampled():
  return random.Random(0).sample(_all(), NUM_SAMPLED)


def _fullest():
  """Forms that leave the fewest registers, where spills begin."""

  def registers(config):
    sums = config.num_slabs * config.block_n // 2
    return sums + sums * config.out_bytes // 4

  full = [
    config
    for config in _all()
    if registers(config) == (128 if config.num_math_warpgroups == 3 else 192)
  ]
  return random.Random(1).sample(full, NUM_SAMPLED)


@pytest.mark.parametrize("configs", [_chosen, _sampled, _fullest, _scattered])
def test_no_form_spills_or_serialises(tmp_path, configs):
  assert not complaints({recipe(config) for config in configs()}, tmp_path)
