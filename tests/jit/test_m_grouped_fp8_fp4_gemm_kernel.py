"""The GEMM of groups of few rows with FP4 weights compiles clean."""

import dataclasses
import random

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm import choose_grouped
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_problem import (
  MGroupedFp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_swapped import (
  legal_grouped_swapped_configs,
)
from jax_deepgemm.primitives.sm90_m_grouped_fp8_fp4_gemm_swapped import recipe
from tests.jit.test_fp8_gemm_kernel import complaints

NUM_SAMPLED = 8


def _chosen():
  """What experts of a layer get that have 1 to 48 rows."""
  for rows in (1, 12, 20, 48):
    problem = MGroupedFp8Fp4GemmProblem(4096, 4096, 4096, 64, rows)
    yield choose_grouped(problem, H200)


def _sampled():
  """Of each width the form with the most registers, and others."""
  problem = MGroupedFp8Fp4GemmProblem(4096, 4096, 4096, 1024, 12, 1, True)
  unique = {
    dataclasses.replace(config, num_stages=4): config
    for config in legal_grouped_swapped_configs(problem, H200)
  }
  configs = sorted(unique.values(), key=str)
  widest = {config.block_m: config for config in configs}
  return [*widest.values(), *random.Random(0).sample(configs, NUM_SAMPLED)]


def test_no_form_spills_or_serialises(tmp_path):
  configs = [*_chosen(), *_sampled()]
  assert not complaints({recipe(config) for config in configs}, tmp_path)
