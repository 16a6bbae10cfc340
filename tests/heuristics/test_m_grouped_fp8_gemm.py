"""Choices of the M-grouped FP8 GEMM: legal, pure, for every problem."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies as st

from jax_deepgemm.heuristics.device import H200, KNOWN, device_named
from jax_deepgemm.heuristics.m_grouped_fp8_gemm import (
  MGroupedFp8GemmProblem,
  choose_grouped,
  legal_grouped_configs,
)
from jax_deepgemm.heuristics.m_grouped_problem import MAX_GROUPS
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.sm90_m_grouped_fp8_gemm import kernel_call


@st.composite
def problems(draw):
  m = draw(st.integers(1, 70000))
  return MGroupedFp8GemmProblem(
    m=m,
    n=draw(st.integers(1, 8000)),
    k=draw(st.integers(1, 8000)),
    num_groups=draw(st.integers(1, MAX_GROUPS)),
    expected_m=draw(st.integers(1, m)),
    row_alignment=draw(st.sampled_from((1, 4, 16, 128))),
    float32_out=draw(st.booleans()),
  )


def of_groups(rows, *, groups=8, **fields):
  """Returns a problem of groups of about `rows` rows."""
  return MGroupedFp8GemmProblem(
    groups * rows, 4096, 7168, groups, rows, **fields
  )


def rows_at_once(config):
  """Returns the rows of the tiles that a cluster computes together."""
  return config.block_m * config.cluster_m


@hypothesis.given(problems(), st.sampled_from(sorted(KNOWN)))
@hypothesis.settings(max_examples=20, deadline=None)
def test_every_problem_has_a_choice_that_fits_the_device(problem, name):
  device = device_named(name)
  config = choose_grouped(problem, device)
  assert config in set(legal_grouped_configs(problem, device))
  assert config.smem_bytes <= device.smem_bytes
  assert config.num_stages >= 3
  assert config.max_groups >= problem.num_groups
  # A group may have any number of rows, and begin where sfa needs a shift.
  assert config.a_rows == config.block_m
  if problem.row_alignment % 4:
    assert config.sfa_rows > config.block_m
  assert choose_grouped(dataclasses.replace(problem), device) == config


@pytest.mark.parametrize("num_sms", [2, 20, 77])
@pytest.mark.parametrize("rows", [20, 192, 8192])
def test_no_more_multiprocessors_are_used_than_there_may_be(rows, num_sms):
  problem = of_groups(rows)
  config = choose_grouped(problem, H200, num_sms=num_sms)
  call = kernel_call(
    problem,
    config,
    H200,
    Options(num_sms=num_sms),
    layout="ragged",
    fills=True,
  )
  assert config.cluster_size <= call.grid[0] <= num_sms


def test_tiles_are_multiples_of_what_is_asked_for():
  problem = of_groups(192)
  config = choose_grouped(problem, H200, block_size_multiple_of=(128, 64))
  assert config.block_m % 128 == 0
  assert config.block_n % 64 == 0
  with pytest.raises(ValueError, match="no configuration fits"):
    choose_grouped(problem, H200, block_size_multiple_of=(1024, 1))


def test_groups_of_few_rows_get_tiles_of_few_rows():
  for alignment in (1, 128):
    config = choose_grouped(of_groups(20, row_alignment=alignment), H200)
    assert rows_at_once(config) <= 128


def test_groups_of_192_rows_are_not_half_padding():
  config = choose_grouped(of_groups(192), H200)
  padded = -(-192 // rows_at_once(config)) * rows_at_once(config)
  assert padded <= 256


def test_groups_of_many_rows_get_large_tiles():
  config = choose_grouped(of_groups(8192), H200)
  assert config.block_m * config.block_n >= 128 * 160
  # They share an operand, or are so large that they need not.
  assert config.cluster_size == 2 or config.block_m >= 192
