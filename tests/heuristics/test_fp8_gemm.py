"""Choices of the FP8 GEMM: legal, pure, covering the output."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies as st

from benchmarks import results
from jax_deepgemm.heuristics import tuned
from jax_deepgemm.heuristics.device import H200, KNOWN, device_named
from jax_deepgemm.heuristics.fp8_gemm import choose, estimate, raster_width
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  legal_configs,
  num_tiles,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import (
  Sm90Fp8GemmSplitConfig,
  legal_split_configs,
  split_tiles,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.heuristics.swapped_tile import num_tiles_n

problems = st.builds(
  Fp8GemmProblem,
  m=st.integers(1, 5000),
  n=st.integers(1, 5000),
  k=st.integers(1, 20000),
  num_groups=st.integers(1, 4),
  sfb_per_row=st.booleans(),
  float32_out=st.booleans(),
  with_c=st.booleans(),
)


@hypothesis.given(problems, st.sampled_from(sorted(KNOWN)))
@hypothesis.settings(max_examples=60, deadline=None)
def test_every_problem_has_a_choice_that_fits_the_device(problem, name):
  device = device_named(name)
  config = choose(problem, device)
  assert config.smem_bytes <= device.smem_bytes
  assert config.num_threads <= 1024
  if isinstance(config, Sm90Fp8GemmSplitConfig):
    tiles_m, tiles_n = split_tiles(problem, config)
    assert config.block_m * tiles_m >= problem.m
    assert config.block_n * tiles_n >= problem.n
    return
  if isinstance(config, Sm90Fp8GemmSwappedConfig):
    assert config.block_m >= problem.m
    assert config.block_n * num_tiles_n(problem, config) >= problem.n
    return
  assert config.num_stages >= 3
  assert config.block_m * config.cluster_m * num_tiles(problem, config)[0] >= (
    problem.m
  )
  assert config.block_n * config.cluster_n * num_tiles(problem, config)[1] >= (
    problem.n
  )


@hypothesis.given(problems)
@hypothesis.settings(max_examples=20, deadline=None)
def test_the_choice_is_the_cheapest_unless_it_was_measured(problem):
  config = choose(problem, H200)
  if tuned.lookup(problem, H200) is None:
    cost = estimate(problem, config, H200)
    others = [
      *legal_configs(problem, H200),
      *legal_swapped_configs(problem, H200),
      *legal_split_configs(problem, H200),
    ]
    assert all(cost <= estimate(problem, other, H200) for other in others)


def test_the_table_names_legal_configurations():
  for case in results.dense_cases():
    problem = Fp8GemmProblem(*case)
    key = tuned.lookup(problem, H200)
    if key is not None:
      assert tuned.key_of(choose(problem, H200)) == key


def test_the_table_is_for_full_chips_alone():
  problem = Fp8GemmProblem(*results.dense_cases()[0])
  assert tuned.lookup(problem, device_named("NVIDIA H20")) is None
  smaller = dataclasses.replace(H200, num_sms=100)
  assert tuned.lookup(problem, smaller) is None


def test_fewer_multiprocessors_may_change_the_choice_but_not_its_form():
  problem = Fp8GemmProblem(4096, 4096, 7168)
  config = choose(problem, H200, num_sms=20)
  assert config in set(legal_configs(problem, H200))


@pytest.mark.parametrize("num_sms", [1, 2, 3, 131])
def test_any_number_of_multiprocessors_will_do(num_sms):
  for problem in (Fp8GemmProblem(1, 64, 128), Fp8GemmProblem(4096, 4096, 7168)):
    config = choose(problem, H200, num_sms=num_sms)
    assert config.cluster_size <= num_sms


def test_block_sizes_are_multiples_of_what_was_asked():
  problem = Fp8GemmProblem(300, 520, 1024)
  config = choose(problem, H200, block_size_multiple_of=(128, 64))
  assert config.block_m % 128 == 0
  assert config.block_n % 64 == 0


def test_impossible_block_sizes_are_an_error_with_the_sizes():
  with pytest.raises(ValueError, match=r"multiples of \(7, 1\)"):
    choose(Fp8GemmProblem(300, 520, 1024), H200, block_size_multiple_of=(7, 1))


def test_an_unknown_device_is_an_error_that_lists_the_known():
  with pytest.raises(ValueError, match="'TPU v5'; known are NVIDIA GH200"):
    device_named("TPU v5")


@hypothesis.given(problems)
@hypothesis.settings(max_examples=30, deadline=None)
def test_a_strip_is_within_the_output(problem):
  config = choose(problem, H200)
  hypothesis.assume(isinstance(config, Sm90Fp8GemmConfig))
  width = raster_width(problem, config, 66)
  assert 1 <= width <= num_tiles(problem, config)[0]
