"""Choices of the M-grouped FP8 GEMM with FP4 weights, of one of two kernels."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies as st

from jax_deepgemm.heuristics.device import H200, KNOWN, device_named
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm import (
  choose_grouped,
  estimate,
  legal_of_both,
)
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_problem import (
  MGroupedFp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_swapped import (
  legal_grouped_swapped_configs,
)
from jax_deepgemm.heuristics.m_grouped_problem import MAX_GROUPS
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.sm90_m_grouped_fp8_fp4_gemm import kernel_call

_SMEM_OF_SM = 233472


@st.composite
def problems(draw):
  m = draw(st.integers(1, 70000))
  return MGroupedFp8Fp4GemmProblem(
    m=m,
    n=draw(st.integers(1, 8000)),
    k=draw(st.integers(1, 8000)),
    num_groups=draw(st.integers(1, MAX_GROUPS)),
    expected_m=draw(st.integers(1, m)),
    row_alignment=draw(st.sampled_from((1, 4, 16, 128))),
    float32_out=draw(st.booleans()),
  )


def of_groups(rows, *, groups=64):
  """Returns the first product of a layer of experts of about `rows` rows."""
  return MGroupedFp8Fp4GemmProblem(groups * rows, 4096, 4096, groups, rows)


def is_for_few(config):
  return isinstance(config, Sm90Fp8Fp4GemmSwappedConfig)


@hypothesis.given(problems(), st.sampled_from(sorted(KNOWN)))
@hypothesis.settings(max_examples=20, deadline=None)
def test_every_problem_has_a_choice_that_fits_the_device(problem, name):
  device = device_named(name)
  config = choose_grouped(problem, device)
  assert config in set(legal_of_both(problem, device))
  assert config.smem_bytes <= device.smem_bytes
  assert config.max_groups >= problem.num_groups
  assert choose_grouped(dataclasses.replace(problem), device) == config


@pytest.mark.parametrize("rows", [1, 20, 300])
@pytest.mark.parametrize("groups", [6, 64, MAX_GROUPS])
def test_forms_for_few_rows_have_what_the_kernel_needs(rows, groups):
  problem = of_groups(rows, groups=groups)
  configs = list(legal_grouped_swapped_configs(problem, H200))
  assert configs
  for config in configs:
    assert (config.num_splits, config.with_c) == (1, False)
    assert not config.prefetch_weights
    assert config.num_stages >= 4
    reserved = config.smem_bytes + 1024
    assert reserved * config.ctas_per_sm <= _SMEM_OF_SM


@pytest.mark.parametrize("rows", [1, 12, 20, 48])
def test_groups_of_few_rows_get_the_kernel_for_them(rows):
  config = choose_grouped(of_groups(rows), H200)
  assert is_for_few(config)
  # Most groups have one tile: others decode B again.
  assert config.block_m >= rows
  assert config.block_m <= 3 * max(rows, 8)


@pytest.mark.parametrize("rows", [96, 192, 4096])
def test_groups_of_many_rows_get_the_other(rows):
  assert not is_for_few(choose_grouped(of_groups(rows), H200))


def test_the_choice_is_the_faster_of_two_estimates():
  for rows in (1, 30, 60, 90):
    problem = of_groups(rows)
    chosen = choose_grouped(problem, H200)
    other = choose_grouped(problem, H200, batch_invariant=True)
    times = [estimate(problem, config, H200) for config in (chosen, other)]
    assert times[0] <= times[1]
    assert is_for_few(chosen) == (times[0] < times[1])


@pytest.mark.parametrize("rows", [1, 48, 1000])
def test_one_order_of_summation_is_that_of_the_kernel_for_many_rows(rows):
  config = choose_grouped(of_groups(rows), H200, batch_invariant=True)
  assert not is_for_few(config)


@pytest.mark.parametrize("num_sms", [2, 77])
def test_no_more_multiprocessors_are_used_than_there_may_be(num_sms):
  problem = of_groups(12)
  config = choose_grouped(problem, H200, num_sms=num_sms)
  assert is_for_few(config)
  assert config.ctas_per_sm == 1
  options = Options(num_sms=num_sms)
  call = kernel_call(
    problem, config, H200, options, layout="ragged", fills=True
  )
  assert call.grid[0] == num_sms


def test_every_multiprocessor_gets_its_ctas_and_none_more_than_tiles():
  problem = of_groups(1)
  config = choose_grouped(problem, H200)
  call = kernel_call(
    problem, config, H200, Options(), layout="ragged", fills=True
  )
  assert call.grid[0] == 132 * config.ctas_per_sm
  few = MGroupedFp8Fp4GemmProblem(1, 100, 4096, 1, 1)
  config = choose_grouped(few, H200)
  call = kernel_call(few, config, H200, Options(), layout="ragged", fills=True)
  tiles = -(-100 // config.block_n)
  assert call.grid[0] == tiles


def test_tiles_are_multiples_of_what_is_asked_for():
  problem = of_groups(12)
  config = choose_grouped(problem, H200, block_size_multiple_of=(16, 128))
  assert config.block_m % 16 == config.block_n % 128 == 0
  with pytest.raises(ValueError, match="no configuration fits"):
    choose_grouped(problem, H200, block_size_multiple_of=(1024, 1))
