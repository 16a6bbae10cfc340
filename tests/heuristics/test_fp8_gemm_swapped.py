"""Configurations with swapped operands: they fit, and are chosen when asked."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies as st

from jax_deepgemm.heuristics import tuned
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.fp8_gemm import choose
from jax_deepgemm.heuristics.fp8_gemm_swapped_cost import (
  estimate_swapped_seconds,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.heuristics.swapped_cost import resident_ctas
from jax_deepgemm.heuristics.swapped_tile import cta_stages, num_ctas

_DECODE = Fp8GemmProblem(1, 4096, 7168)

problems = st.builds(
  Fp8GemmProblem,
  m=st.integers(1, 128),
  n=st.integers(1, 5000),
  k=st.one_of(st.integers(1, 20000), st.integers(1, 160).map((128).__mul__)),
  num_groups=st.integers(1, 4),
  sfb_per_row=st.booleans(),
  float32_out=st.booleans(),
  with_c=st.booleans(),
)


@hypothesis.given(problems)
@hypothesis.settings(max_examples=40, deadline=None)
def test_all_ctas_of_a_multiprocessor_have_room_and_work(problem):
  configs = list(legal_swapped_configs(problem, H200))
  assert configs
  for config in configs:
    assert config.ctas_per_sm * (config.smem_bytes + 1024) <= 233472
    assert config.ctas_per_sm * config.num_threads <= 2048
    assert config.block_m >= problem.m
    assert 1 <= config.num_stages <= cta_stages(problem, config)
    stages = -(-problem.num_k_blocks // config.stage_k_blocks)
    shares = [
      stages * (rank + 1) // config.num_splits
      - stages * rank // config.num_splits
      for rank in range(config.num_splits)
    ]
    assert min(shares) >= 1
    assert max(shares) == cta_stages(problem, config)
    assert estimate_swapped_seconds(problem, config, H200) > 2e-6
    assert resident_ctas(config, H200) % config.num_splits == 0


def test_more_rows_than_the_tensor_cores_take_as_columns_are_not_for_it():
  assert not list(legal_swapped_configs(Fp8GemmProblem(129, 64, 256), H200))


def test_a_long_sum_for_few_columns_is_split():
  config = choose(Fp8GemmProblem(1, 576, 7936), H200)
  assert isinstance(config, Sm90Fp8GemmSwappedConfig)
  assert config.num_splits > 1


@hypothesis.given(problems)
@hypothesis.settings(max_examples=30, deadline=None)
def test_what_does_not_depend_on_the_batch_is_not_split(problem):
  config = choose(problem, H200, batch_invariant=True)
  if isinstance(config, Sm90Fp8GemmSwappedConfig):
    assert config.num_splits == 1


@pytest.mark.parametrize("num_sms", [9, 40, 80])
def test_it_takes_no_more_multiprocessors_than_there_may_be(num_sms):
  problem = Fp8GemmProblem(1, 576, 7936)
  config = choose(problem, H200, num_sms=num_sms)
  if isinstance(config, Sm90Fp8GemmSwappedConfig):
    assert num_ctas(problem, config) <= num_sms


def test_weights_are_prefetched_when_asked():
  problem = Fp8GemmProblem(1, 576, 7936)
  assert not choose(problem, H200).prefetch_weights
  assert choose(problem, H200, prefetch_weights=True).prefetch_weights


def test_the_table_can_name_it(monkeypatch):
  wanted = list(legal_swapped_configs(_DECODE, H200))[-1]
  table = {tuned.problem_name(_DECODE): tuned.key_of(wanted)}
  monkeypatch.setattr(tuned, "table", {"tuned_sm90.json": table}.get)
  assert choose(_DECODE, H200) == wanted


def test_keys_tell_configurations_apart():
  configs = list(legal_swapped_configs(_DECODE, H200))
  keys = {tuned.key_of(config) for config in configs}
  assert len(keys) == len(configs)


def test_more_bytes_on_the_way_are_faster_until_memory_is_busy():
  (config, *_) = (
    config
    for config in legal_swapped_configs(_DECODE, H200)
    if config.num_stages > 8
  )
  times = [
    estimate_swapped_seconds(
      _DECODE, dataclasses.replace(config, num_stages=count), H200
    )
    for count in (1, 2, 4, 8)
  ]
  assert times == sorted(times, reverse=True)
  assert times[0] > 2 * times[-1]
