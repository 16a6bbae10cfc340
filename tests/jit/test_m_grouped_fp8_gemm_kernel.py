"""The M-grouped FP8 GEMM compiles clean in every form that can be chosen."""

import dataclasses
import random

import pytest

from benchmarks import m_grouped_cases
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.m_grouped_fp8_gemm import (
  MGroupedFp8GemmProblem,
  choose_grouped,
  legal_grouped_configs,
)
from jax_deepgemm.primitives.sm90_m_grouped_fp8_gemm import recipe
from tests.jit.test_fp8_gemm_kernel import complaints

NUM_SAMPLED = 8


def _chosen():
  """What the cases of the benchmark run."""
  for kind in ("contiguous", "masked", "ragged"):
    for case in m_grouped_cases.cases(kind):
      yield choose_grouped(case.problem, H200)


def _sampled():
  configs = set()
  for expected_m in (20, 192, 8192):
    for alignment, float32_out in ((1, False), (128, True)):
      problem = MGroupedFp8GemmProblem(
        8 * expected_m, 4096, 4096, 8, expected_m, alignment, float32_out
      )
      configs |= set(legal_grouped_configs(problem, H200))
  # The number of stages changes no instruction. Narrower tiles only serve
  # few columns, and have fewer registers to spill.
  unique = {
    dataclasses.replace(config, num_stages=3): config
    for config in sorted(configs, key=str)
    if config.block_n >= 64
  }
  return random.Random(0).sample(list(unique.values()), NUM_SAMPLED)


def _scattering():
  """What mega MoE runs, from few rows of an expert to many."""
  for expected_m in (12, 192, 1024):
    problem = MGroupedFp8GemmProblem(
      64 * expected_m, 4096, 2048, 64, expected_m, scatters_rows=True
    )
    yield choose_grouped(problem, H200)


@pytest.mark.parametrize("configs", [_chosen, _sampled, _scattering])
def test_no_form_spills_or_serialises(tmp_path, configs):
  assert not complaints({recipe(config) for config in configs()}, tmp_path)
