"""Choices of the K-grouped BF16 GEMM: legal, pure, for every problem."""

import hypothesis
import pytest
from hypothesis import strategies as st

from benchmarks import results
from jax_deepgemm.heuristics.device import H200, KNOWN, device_named
from jax_deepgemm.heuristics.sm90_k_grouped_bf16_gemm import (
  KGroupedBf16GemmProblem,
  choose,
  legal_k_grouped_configs,
  num_k_grouped_tiles,
)
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import MAX_GROUPS

problems = st.builds(
  KGroupedBf16GemmProblem,
  m=st.integers(1, 5000),
  n=st.integers(1, 5000),
  k=st.integers(1, 200_000),
  num_groups=st.integers(1, MAX_GROUPS),
  with_c=st.booleans(),
)


@hypothesis.given(problems, st.sampled_from(sorted(KNOWN)))
@hypothesis.settings(max_examples=25, deadline=None)
def test_every_problem_has_a_choice_that_fits_the_device(problem, name):
  device = device_named(name)
  config = choose(problem, device)
  gemm = config.gemm
  assert config.smem_bytes <= device.smem_bytes
  assert config.num_parts * problem.num_groups <= config.max_groups
  assert 3 <= gemm.num_stages <= 32
  # A group begins at any row, and no column of D is in two boxes.
  assert gemm.stage_k_blocks == 1
  assert gemm.a_mn_major
  assert gemm.b_mn_major
  assert gemm.block_n % gemm.store_box_columns == 0
  tiles_m, tiles_n = num_k_grouped_tiles(problem, config)
  assert tiles_m * gemm.cluster_m * gemm.block_m >= problem.m
  assert tiles_n * gemm.cluster_n * gemm.block_n >= problem.n


def test_the_cases_of_the_benchmark_get_large_tiles_and_no_parts():
  for case in results.k_grouped_cases():
    problem = KGroupedBf16GemmProblem(
      case.m, case.n, sum(case.sizes), len(case.sizes), True
    )
    config = choose(problem, H200)
    assert config.num_parts == 1
    assert config.gemm.with_c
    assert config.block_m * config.block_n >= 128 * 128


def test_one_tile_of_much_k_is_cut_into_parts():
  config = choose(KGroupedBf16GemmProblem(128, 128, 100_000, 1, True), H200)
  assert config.num_parts > 1
  # The parts are summed first, then c is added.
  assert not config.gemm.with_c


def test_tiles_are_multiples_of_what_is_asked_for():
  problem = KGroupedBf16GemmProblem(4096, 7168, 40_000, 8, True)
  config = choose(problem, H200, block_size_multiple_of=(128, 192))
  assert config.block_m % 128 == 0
  assert config.block_n == 192
  with pytest.raises(ValueError, match="no configuration fits"):
    choose(problem, H200, block_size_multiple_of=(1024, 1))


def test_fewer_multiprocessors_are_taken_into_account():
  problem = KGroupedBf16GemmProblem(1024, 1024, 40_000, 2)
  config = choose(problem, H200, num_sms=1)
  assert config.num_parts == 1
  assert config.gemm.cluster_size == 1


def test_there_is_no_table_for_more_groups():
  problem = KGroupedBf16GemmProblem(8, 8, 8, MAX_GROUPS + 1)
  with pytest.raises(ValueError, match="num_groups must be at most 1024"):
    list(legal_k_grouped_configs(problem, H200))
