"""Configurations for few tiles: one wave of CTAs, chosen when asked."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies as st

from jax_deepgemm.heuristics import tuned
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.fp8_gemm import choose
from jax_deepgemm.heuristics.fp8_gemm_split_cost import estimate_split_seconds
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import (
  Sm90Fp8GemmSplitConfig,
  legal_split_configs,
  num_split_ctas,
  split_tiles,
)
from jax_deepgemm.heuristics.swapped_tile import cta_stages

_FEW_TILES = Fp8GemmProblem(192, 576, 7936)

problems = st.builds(
  Fp8GemmProblem,
  m=st.integers(33, 600),
  n=st.integers(1, 5000),
  k=st.one_of(st.integers(1, 20000), st.integers(1, 160).map((128).__mul__)),
  num_groups=st.integers(1, 4),
  float32_out=st.booleans(),
  with_c=st.booleans(),
)


@hypothesis.given(problems)
@hypothesis.settings(max_examples=40, deadline=None)
def test_all_ctas_have_room_at_one_time_and_work(problem):
  for config in legal_split_configs(problem, H200):
    tiles_m, tiles_n = split_tiles(problem, config)
    assert tiles_m * config.block_m >= problem.m
    assert tiles_n * config.block_n >= problem.n
    ctas = num_split_ctas(problem, config)
    assert ctas == tiles_m * tiles_n * problem.num_groups * config.num_splits
    assert ctas <= H200.num_sms * config.ctas_per_sm
    assert config.ctas_per_sm * (config.smem_bytes + 1024) <= 233472
    assert config.ctas_per_sm * config.num_threads <= 2048
    registers = config.max_registers * config.num_threads
    assert config.ctas_per_sm * registers <= 65536
    assert 1 <= config.num_stages <= cta_stages(problem, config)
    stages = -(-problem.num_k_blocks // config.stage_k_blocks)
    shares = [
      stages * (rank + 1) // config.num_splits
      - stages * rank // config.num_splits
      for rank in range(config.num_splits)
    ]
    assert min(shares) >= 1
    assert max(shares) == cta_stages(problem, config)
    assert estimate_split_seconds(problem, config, H200) > 3e-6


def test_more_tiles_than_have_room_are_not_for_it():
  assert list(legal_split_configs(Fp8GemmProblem(512, 4096, 2048), H200))
  assert not list(legal_split_configs(Fp8GemmProblem(4096, 4096, 2048), H200))


@pytest.mark.parametrize(
  "fields", [{"sfb_per_row": True}, {"m": 32}, {"m": 1}], ids=str
)
def test_scales_for_each_row_of_b_and_few_rows_are_not_for_it(fields):
  problem = dataclasses.replace(_FEW_TILES, **fields)
  assert not list(legal_split_configs(problem, H200))


def test_a_long_sum_of_a_few_tiles_is_split():
  config = choose(_FEW_TILES, H200)
  assert isinstance(config, Sm90Fp8GemmSplitConfig)
  assert config.num_splits > 1


@hypothesis.given(problems)
@hypothesis.settings(max_examples=30, deadline=None)
def test_what_does_not_depend_on_the_batch_is_not_split(problem):
  config = choose(problem, H200, batch_invariant=True)
  assert getattr(config, "num_splits", 1) == 1


@pytest.mark.parametrize("num_sms", [9, 40, 80])
def test_it_takes_no_more_multiprocessors_than_there_may_be(num_sms):
  config = choose(_FEW_TILES, H200, num_sms=num_sms)
  if isinstance(config, Sm90Fp8GemmSplitConfig):
    assert num_split_ctas(_FEW_TILES, config) <= num_sms


def test_of_two_ctas_on_one_multiprocessor_it_is_not_known_which(monkeypatch):
  part = dataclasses.replace(H200, num_sms=40)
  many = next(
    config
    for config in legal_split_configs(_FEW_TILES, part)
    if num_split_ctas(_FEW_TILES, config) > 40
  )
  monkeypatch.setattr(tuned, "lookup", lambda *_: tuned.key_of(many))
  assert choose(_FEW_TILES, part) == many
  assert choose(_FEW_TILES, H200, num_sms=40) != many


def test_weights_are_prefetched_when_asked():
  assert not choose(_FEW_TILES, H200).prefetch_weights
  assert choose(_FEW_TILES, H200, prefetch_weights=True).prefetch_weights


def test_the_table_can_name_it(monkeypatch):
  wanted = list(legal_split_configs(_FEW_TILES, H200))[-1]
  assert choose(_FEW_TILES, H200) != wanted
  table = {tuned.problem_name(_FEW_TILES): tuned.key_of(wanted)}
  monkeypatch.setattr(tuned, "table", {"tuned_sm90.json": table}.get)
  assert choose(_FEW_TILES, H200) == wanted


def test_keys_tell_configurations_apart():
  configs = list(legal_split_configs(_FEW_TILES, H200))
  keys = {tuned.key_of(config) for config in configs}
  assert len(keys) == len(configs)
  assert {key[0] for key in keys} == {"split"}


def test_fewer_stages_on_the_way_take_longer():
  config = next(
    config
    for config in legal_split_configs(_FEW_TILES, H200)
    if config.num_stages > 4
  )
  times = [
    estimate_split_seconds(
      _FEW_TILES, dataclasses.replace(config, num_stages=count), H200
    )
    for count in (1, 2, 4)
  ]
  assert times == sorted(times, reverse=True)
  assert times[0] > times[-1]
