"""The BF16 GEMM over a K of many runs compiles clean in every form."""

import itertools
import random

import pytest

from benchmarks import einsum_cases
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_batched_k_bf16_gemm import (
  BatchedKBf16GemmProblem,
  choose,
  legal_batched_k_configs,
)
from jax_deepgemm.primitives.sm90_batched_k_bf16_gemm import recipe
from tests.jit.test_fp8_gemm_kernel import complaints

NUM_SAMPLED = 8


def _chosen():
  """What the cases of the benchmark run."""
  for case in einsum_cases.long_k_cases():
    problem = BatchedKBf16GemmProblem(case.m, case.n, case.k, case.b)
    yield choose(problem, H200)


def _sampled():
  unique = {}
  for m, with_c in itertools.product((40, 5000), (False, True)):
    problem = BatchedKBf16GemmProblem(m, 4096, 256, 1000, with_c)
    for config in legal_batched_k_configs(problem, H200):
      # Neither the number of stages nor that of parts changes an instruction.
      unique[recipe(config).source.split(".num_stages")[0]] = config
  return random.Random(0).sample(list(unique.values()), NUM_SAMPLED)


@pytest.mark.parametrize("configs", [_chosen, _sampled])
def test_no_form_spills_or_serialises(tmp_path, configs):
  assert not complaints({recipe(config) for config in configs()}, tmp_path)
