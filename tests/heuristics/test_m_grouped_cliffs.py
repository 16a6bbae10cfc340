"""One more row in each group hardly changes what a product should take.

Groups have sizes around the expected one, so few of them cross the end of a
tile at one time.
"""

import itertools

import pytest

from jax_deepgemm.heuristics import (
  m_grouped_bf16_gemm,
  m_grouped_bf16_gemm_cost,
  m_grouped_fp8_gemm,
  m_grouped_fp8_gemm_cost,
)
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_problem import (
  MGroupedBf16GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)

_FAMILIES = {
  "fp8": (
    MGroupedFp8GemmProblem,
    m_grouped_fp8_gemm,
    m_grouped_fp8_gemm_cost,
  ),
  "bf16": (
    MGroupedBf16GemmProblem,
    m_grouped_bf16_gemm,
    m_grouped_bf16_gemm_cost,
  ),
}


def seconds(family, num_groups, n, k, expected_m):
  kind, choice, cost = _FAMILIES[family]
  m = num_groups * expected_m
  problem = kind(m, n, k, num_groups, expected_m)
  config = choice.choose_grouped(problem, H200)
  return cost.estimate_grouped_seconds(problem, config, H200)


@pytest.mark.parametrize("family", _FAMILIES)
@pytest.mark.parametrize("sizes", [(32, 4096, 7168), (64, 4096, 4096)])
def test_estimates_have_no_step_at_the_end_of_a_tile(family, sizes):
  for m in (64, 107, 128, 160, 192, 213, 256, 320, 384, 512, 1024):
    one_more = seconds(family, *sizes, m + 1)
    assert 0.98 < one_more / seconds(family, *sizes, m) < 1.06, m


@pytest.mark.parametrize("family", _FAMILIES)
def test_less_rows_never_take_longer(family):
  sizes = (32, 4096, 4096)
  steps = [seconds(family, *sizes, m) for m in range(16, 400, 16)]
  for less, more in itertools.pairwise(steps):
    assert less < 1.02 * more
