"""The K-grouped FP8 GEMM compiles clean in every form that can be chosen."""

import dataclasses
import itertools
import random

import pytest

from benchmarks import results
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  KGroupedFp8GemmProblem,
  choose,
  legal_k_grouped_configs,
)
from jax_deepgemm.primitives.sm90_k_grouped_fp8_gemm import recipe
from tests.jit.test_fp8_gemm_kernel import complaints

NUM_SAMPLED = 12


# with_c, float32_out.
_FORMS = ((False, True), (True, True), (False, False))


def _chosen():
  """What the cases of the benchmark run."""
  for case in results.k_grouped_cases():
    for form in _FORMS:
      problem = KGroupedFp8GemmProblem(
        case.m, case.n, case.k_padded // 128, len(case.sizes), *form
      )
      yield choose(problem, H200)


def _sampled():
  configs = set()
  for m, groups, form in itertools.product((40, 5000), (3, 200, 1000), _FORMS):
    problem = KGroupedFp8GemmProblem(m, 4096, 2000, groups, *form)
    configs |= set(legal_k_grouped_configs(problem, H200))
  # Neither the number of stages nor that of parts changes an instruction.
  unique = {
    str(
      dataclasses.replace(
        c, num_parts=1, gemm=dataclasses.replace(c.gemm, num_stages=3)
      )
    ): c
    for c in sorted(configs, key=str)
  }
  return random.Random(0).sample(list(unique.values()), NUM_SAMPLED)


@pytest.mark.parametrize("configs", [_chosen, _sampled])
def test_no_form_spills_or_serialises(tmp_path, configs):
  assert not complaints({recipe(config) for config in configs()}, tmp_path)
