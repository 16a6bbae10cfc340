"""Choices of the M-grouped BF16 GEMM: legal, for every problem."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies as st

from jax_deepgemm.heuristics.device import H200, KNOWN, device_named
from jax_deepgemm.heuristics.m_grouped_bf16_gemm import (
  choose_grouped,
  legal_grouped_configs,
)
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_problem import (
  MGroupedBf16GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_problem import MAX_GROUPS
from jax_deepgemm.heuristics.tuned_bf16 import key_of
from jax_deepgemm.heuristics.tuned_grouped import m_grouped_bf16_name
from jax_deepgemm.heuristics.user_table import UserTable

problems = st.builds(
  MGroupedBf16GemmProblem,
  m=st.integers(1, 20000),
  n=st.integers(1, 5000),
  k=st.integers(1, 9000),
  num_groups=st.integers(1, MAX_GROUPS),
  expected_m=st.integers(1, 5000),
  float32_out=st.booleans(),
  b_mn_major=st.booleans(),
)
# Rows with addresses of their own are bfloat16.
scattered = problems.map(
  lambda problem: dataclasses.replace(
    problem, float32_out=False, scatters_rows=True
  )
)


@hypothesis.given(problems | scattered, st.sampled_from(sorted(KNOWN)))
@hypothesis.settings(max_examples=20, deadline=None)
def test_every_problem_has_a_choice_that_fits_the_device(problem, name):
  device = device_named(name)
  config = choose_grouped(problem, device)
  assert config.smem_bytes <= device.smem_bytes
  assert config.num_stages >= 3
  assert config.max_groups >= problem.num_groups
  # A group may have any number of rows.
  assert config.a_rows == config.block_m
  assert config.b_mn_major == problem.b_mn_major
  assert not config.a_mn_major
  assert config.scatters_rows == problem.scatters_rows


@pytest.mark.parametrize(
  ("expected_m", "block_m"), [(20, 64), (64, 64), (100, 128)]
)
def test_a_group_of_few_rows_is_one_tile(expected_m, block_m):
  problem = MGroupedBf16GemmProblem(32 * expected_m, 4096, 7168, 32, expected_m)
  assert choose_grouped(problem, H200).block_m == block_m


def test_large_groups_get_the_tiles_that_feed_the_tensor_cores():
  problem = MGroupedBf16GemmProblem(32768, 4096, 7168, 8, 4096)
  config = choose_grouped(problem, H200)
  assert config.block_m * config.block_n == 128 * 256
  assert config.cluster_size == 2


def test_the_block_sizes_that_were_asked_for_are_taken():
  problem = MGroupedBf16GemmProblem(4096, 4096, 4096, 8, 512)
  config = choose_grouped(problem, H200, block_size_multiple_of=(128, 96))
  assert config.block_m % 128 == 0
  assert config.block_n % 96 == 0


def test_what_the_user_measured_goes_before_the_estimate():
  problem = MGroupedBf16GemmProblem(4096, 4096, 4096, 8, 512)
  choice = choose_grouped(problem, H200)
  other = next(
    config
    for config in legal_grouped_configs(problem, H200)
    if config.block_n == 48
  )
  name = m_grouped_bf16_name(problem)
  entry = {"key": list(key_of(other))}
  table = UserTable(H200.name, 132).with_entry(
    "m_grouped_bf16_gemm", name, entry
  )
  assert choose_grouped(problem, H200, user=table) == other != choice
  # A few rows less share the entry; another layout of B does not.
  less = dataclasses.replace(problem, expected_m=400)
  assert choose_grouped(less, H200, user=table) == other
  nn = dataclasses.replace(problem, b_mn_major=True)
  assert choose_grouped(nn, H200, user=table) == choose_grouped(nn, H200)
