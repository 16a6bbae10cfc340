"""BF16 configurations with swapped operands: they fit, and are chosen."""

import hypothesis
import pytest
from hypothesis import strategies as st

from jax_deepgemm.heuristics import tuned, tuned_bf16
from jax_deepgemm.heuristics.bf16_gemm import choose
from jax_deepgemm.heuristics.bf16_gemm_swapped_cost import (
  estimate_swapped_seconds,
)
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_bf16_gemm import Bf16GemmProblem
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.heuristics.swapped_tile import cta_stages, num_ctas

_DECODE = Bf16GemmProblem(1, 4096, 7168)

problems = st.builds(
  Bf16GemmProblem,
  m=st.integers(1, 256),
  n=st.integers(1, 5000),
  k=st.one_of(st.integers(1, 20000), st.integers(1, 320).map((64).__mul__)),
  num_groups=st.integers(1, 4),
  a_mn_major=st.booleans(),
  b_mn_major=st.booleans(),
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
    assert config.stage_bytes % 1024 == 0
    assert not config.b_mn_major or config.stage_k_blocks <= 4
    assert estimate_swapped_seconds(problem, config, H200) > 2e-6


def test_more_rows_than_the_tensor_cores_take_as_columns_are_not_for_it():
  assert not list(legal_swapped_configs(Bf16GemmProblem(257, 64, 256), H200))


@pytest.mark.parametrize("b_mn_major", [False, True])
def test_a_long_sum_for_few_columns_is_split(b_mn_major):
  problem = Bf16GemmProblem(1, 576, 7936, b_mn_major=b_mn_major)
  config = choose(problem, H200)
  assert isinstance(config, Sm90Bf16GemmSwappedConfig)
  assert config.num_splits > 1


def test_many_rows_are_not_for_it():
  problem = Bf16GemmProblem(256, 8192, 8192)
  assert not isinstance(choose(problem, H200), Sm90Bf16GemmSwappedConfig)


@hypothesis.given(problems)
@hypothesis.settings(max_examples=30, deadline=None)
def test_what_does_not_depend_on_the_batch_is_not_split(problem):
  config = choose(problem, H200, batch_invariant=True)
  if isinstance(config, Sm90Bf16GemmSwappedConfig):
    assert config.num_splits == 1


@pytest.mark.parametrize("num_sms", [9, 40, 80])
def test_it_takes_no_more_multiprocessors_than_there_may_be(num_sms):
  problem = Bf16GemmProblem(1, 576, 7936)
  config = choose(problem, H200, num_sms=num_sms)
  if isinstance(config, Sm90Bf16GemmSwappedConfig):
    assert num_ctas(problem, config) <= num_sms


def test_weights_are_prefetched_when_asked():
  problem = Bf16GemmProblem(1, 576, 7936)
  assert not choose(problem, H200).prefetch_weights
  assert choose(problem, H200, prefetch_weights=True).prefetch_weights


def test_the_table_can_name_it(monkeypatch):
  wanted = list(legal_swapped_configs(_DECODE, H200))[-1]
  table = {tuned_bf16.problem_name(_DECODE): tuned_bf16.key_of(wanted)}
  monkeypatch.setattr(tuned, "table", {tuned_bf16.TABLE: table}.get)
  assert choose(_DECODE, H200) == wanted


def test_keys_tell_configurations_apart():
  configs = list(legal_swapped_configs(_DECODE, H200))
  keys = {tuned_bf16.key_of(config) for config in configs}
  assert len(keys) == len(configs)
