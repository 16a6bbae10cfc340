"""What the sweep of BF16 configurations compares, without a GPU."""

import pytest

from benchmarks import sweep_bf16
from jax_deepgemm.heuristics import tuned_bf16
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_bf16_gemm import Bf16GemmProblem
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
)


def _split(m, count):
  """Returns the candidates of either kernel."""
  problem = Bf16GemmProblem(m, 4096, 7168)
  configs = sweep_bf16.candidates_of(problem, H200, count)
  assert len({tuned_bf16.key_of(config) for config in configs}) == count
  swapped = [c for c in configs if isinstance(c, Sm90Bf16GemmSwappedConfig)]
  return [c for c in configs if c not in swapped], swapped


@pytest.mark.parametrize("m", [1, 128, 200])
def test_few_rows_are_timed_with_both_kernels(m):
  plain, swapped = _split(m, 16)
  assert len(plain) == len(swapped) == 8
  assert [c.evict_first for c in swapped] == [True] * 6 + [False] * 2


def test_many_rows_are_timed_with_one_kernel():
  plain, swapped = _split(4096, 12)
  assert len(plain) == 12
  assert not swapped


def test_every_candidate_has_a_recipe_and_a_program():
  problem = Bf16GemmProblem(1, 4096, 7168)
  for config in sweep_bf16.candidates_of(problem, H200, 8):
    swapped = isinstance(config, Sm90Bf16GemmSwappedConfig)
    kernel = sweep_bf16.recipe_of(config).kernel
    assert kernel == ("sm90_bf16_gemm" + "_swapped" * swapped)
    assert callable(sweep_bf16.program(problem, config, H200))
