"""Choices of the BF16 GEMM: legal, pure, covering the output."""

import itertools

import hypothesis
import pytest
from hypothesis import strategies as st

from benchmarks import results
from jax_deepgemm.heuristics import tuned_bf16
from jax_deepgemm.heuristics.bf16_gemm import choose, estimate, raster_width
from jax_deepgemm.heuristics.device import H200, KNOWN, device_named
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  ATOM_ROWS,
  Bf16GemmProblem,
  legal_configs,
  num_tiles,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.heuristics.swapped_tile import num_tiles_n
from jax_deepgemm.heuristics.tuned import table

problems = st.builds(
  Bf16GemmProblem,
  m=st.integers(1, 5000),
  n=st.integers(1, 5000),
  k=st.integers(1, 20000),
  num_groups=st.integers(1, 4),
  a_mn_major=st.booleans(),
  b_mn_major=st.booleans(),
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
  if isinstance(config, Sm90Bf16GemmSwappedConfig):
    assert config.block_m >= problem.m
    assert config.block_n * num_tiles_n(problem, config) >= problem.n
    return
  assert config.num_stages >= 3
  tiles_m, tiles_n = num_tiles(problem, config)
  assert config.block_m * config.cluster_m * tiles_m >= problem.m
  assert config.block_n * config.cluster_n * tiles_n >= problem.n
  assert 1 <= raster_width(problem, config, 66) <= tiles_m
  if problem.b_mn_major:
    assert config.block_n % ATOM_ROWS == 0


@hypothesis.given(problems)
@hypothesis.settings(max_examples=20, deadline=None)
def test_the_choice_is_the_cheapest_unless_it_was_measured(problem):
  config = choose(problem, H200)
  if tuned_bf16.lookup(problem, H200) is None:
    cost = estimate(problem, config, H200)
    assert all(
      cost <= estimate(problem, other, H200)
      for other in itertools.chain(
        legal_configs(problem, H200), legal_swapped_configs(problem, H200)
      )
    )


def test_the_table_names_legal_configurations():
  for problem in results.bf16_problems():
    key = tuned_bf16.lookup(problem, H200)
    if key is not None:
      assert tuned_bf16.key_of(choose(problem, H200)) == key
  known = {tuned_bf16.problem_name(p) for p in results.bf16_problems()}
  assert set(table(tuned_bf16.TABLE)) <= known


def test_names_of_problems_differ():
  names = [tuned_bf16.problem_name(p) for p in results.bf16_problems()]
  assert len(set(names)) == len(names) > 40


@pytest.mark.parametrize("num_sms", [1, 2, 3, 131])
def test_any_number_of_multiprocessors_will_do(num_sms):
  for problem in (
    Bf16GemmProblem(1, 64, 128),
    Bf16GemmProblem(4096, 4096, 7168),
  ):
    config = choose(problem, H200, num_sms=num_sms)
    assert config.cluster_size <= num_sms


def test_a_large_product_reuses_what_it_loads():
  config = choose(Bf16GemmProblem(4096, 4096, 7168), H200)
  assert config.block_m * config.block_n >= 128 * 256


def test_few_rows_are_multiplied_in_small_tiles_on_all_multiprocessors():
  problem = Bf16GemmProblem(1, 2112, 7168)
  config = min(
    legal_configs(problem, H200), key=lambda c: estimate(problem, c, H200)
  )
  assert config.block_m == 64
  assert config.a_rows == 8
  assert num_tiles(problem, config)[1] * config.cluster_size >= 66


def test_impossible_block_sizes_are_an_error_with_the_sizes():
  with pytest.raises(ValueError, match=r"multiples of \(7, 1\)"):
    choose(Bf16GemmProblem(300, 520, 1024), H200, block_size_multiple_of=(7, 1))
