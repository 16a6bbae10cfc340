"""Choices of the K-grouped FP8 GEMM: legal, pure, for every problem."""

import hypothesis
import pytest
from hypothesis import strategies as st

from benchmarks import results
from jax_deepgemm.heuristics.device import H200, KNOWN, device_named
from jax_deepgemm.heuristics.fp8_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  MAX_GROUPS,
  KGroupedFp8GemmProblem,
  choose,
  largest_share,
  legal_k_grouped_configs,
  num_k_grouped_tiles,
)

problems = st.builds(
  KGroupedFp8GemmProblem,
  m=st.integers(1, 5000),
  n=st.integers(1, 5000),
  num_k_blocks=st.integers(1, 2000),
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
  # A group begins at any block, and no column of D is in two boxes.
  assert gemm.stage_k_blocks == 1
  assert gemm.block_n % gemm.store_box_columns == 0
  tiles_m, tiles_n = num_k_grouped_tiles(problem, config)
  assert tiles_m * gemm.cluster_m * gemm.block_m >= problem.m
  assert tiles_n * gemm.cluster_n * gemm.block_n >= problem.n


def test_the_cases_of_the_benchmark_get_large_tiles_and_no_parts():
  for case in results.k_grouped_cases():
    problem = KGroupedFp8GemmProblem(
      case.m, case.n, case.k_padded // 128, len(case.sizes), True
    )
    config = choose(problem, H200)
    assert config.num_parts == 1
    assert config.gemm.with_c
    assert config.gemm.block_m * config.gemm.block_n >= 128 * 160


def test_one_tile_of_much_k_is_cut_into_parts():
  config = choose(KGroupedFp8GemmProblem(128, 128, 1000, 1, True), H200)
  assert config.num_parts > 1
  # The parts are summed first, then c is added.
  assert not config.gemm.with_c


@pytest.mark.parametrize(
  ("num_groups", "m", "n", "num_k_blocks"),
  [(16, 512, 512, 256), (64, 256, 256, 512), (64, 1024, 1024, 512)],
)
def test_equal_groups_do_not_pay_for_what_skewed_ones_would_need(
  num_groups, m, n, num_k_blocks
):
  problem = KGroupedFp8GemmProblem(m, n, num_k_blocks, num_groups, True)

  def even_seconds(config):
    groups = Fp8GemmProblem(
      m,
      n,
      num_k_blocks // num_groups * 128,
      num_groups,
      sfb_per_row=True,
      float32_out=True,
      with_c=True,
    )
    return estimate_seconds(groups, config.gemm, H200)

  whole = [
    config
    for config in legal_k_grouped_configs(problem, H200)
    if config.num_parts == 1
  ]
  choice = choose(problem, H200)
  assert choice.num_parts == 1
  assert even_seconds(choice) < 1.5 * min(map(even_seconds, whole))


def test_the_largest_group_has_less_the_more_groups_there_are():
  assert largest_share(0) == largest_share(1) == 1
  assert largest_share(2) == pytest.approx(2 / 3)
  assert largest_share(4) == pytest.approx(12 / 25)
  assert 0.1 < largest_share(1024) < 0.15


def test_tiles_are_multiples_of_what_is_asked_for():
  problem = KGroupedFp8GemmProblem(4096, 7168, 300, 8, True)
  config = choose(problem, H200, block_size_multiple_of=(128, 64))
  assert config.gemm.block_m % 128 == 0
  assert config.gemm.block_n % 64 == 0
  with pytest.raises(ValueError, match="no configuration fits"):
    choose(problem, H200, block_size_multiple_of=(1024, 1))


def test_there_is_no_table_for_more_groups():
  problem = KGroupedFp8GemmProblem(8, 8, 8, MAX_GROUPS + 1)
  with pytest.raises(ValueError, match="num_groups must be at most 1024"):
    list(legal_k_grouped_configs(problem, H200))
