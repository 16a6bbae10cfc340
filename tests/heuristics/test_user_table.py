"""What was measured goes before what is estimated, the user's first."""

import dataclasses

import pytest

from jax_deepgemm.heuristics import tuned, tuned_bf16, tuned_grouped
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.fp8_gemm import choose
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem, legal_configs
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  legal_swapped_configs,
)
from jax_deepgemm.heuristics.user_table import EMPTY, UserTable

_DENSE = Fp8GemmProblem(4096, 2112, 7168)  # In the package's table.


def table_with(problem, config):
  entry = {"key": list(tuned.key_of(config))}
  table = UserTable("NVIDIA H200", 132)
  return table.with_entry("fp8_gemm", tuned.problem_name(problem), entry)


def test_the_users_table_goes_before_the_packages():
  shipped = tuned.lookup(_DENSE, H200)
  assert tuned.key_of(choose(_DENSE, H200)) == shipped
  other = next(
    config
    for config in legal_configs(_DENSE, H200)
    if tuned.key_of(config) != shipped
  )
  table = table_with(_DENSE, other)
  assert choose(_DENSE, H200, user=table) == other
  part = choose(_DENSE, H200, num_sms=66, user=table)
  assert part == choose(_DENSE, H200, num_sms=66)
  with_c = dataclasses.replace(_DENSE, with_c=True)
  assert choose(with_c, H200, user=table) == choose(with_c, H200)
  batch = dataclasses.replace(_DENSE, num_groups=2)
  assert choose(batch, H200, user=table) == choose(batch, H200)


def test_an_entry_that_is_not_legal_leads_to_the_next():
  table = UserTable("NVIDIA H200", 132).with_entry(
    "fp8_gemm", tuned.problem_name(_DENSE), {"key": [99, "x"]}
  )
  assert choose(_DENSE, H200, user=table) == choose(_DENSE, H200)
  tiles = {"block_size_multiple_of": (1, 96)}
  good = next(c for c in legal_configs(_DENSE, H200) if c.block_n == 128)
  limited = choose(_DENSE, H200, user=table_with(_DENSE, good), **tiles)
  assert limited.block_n % 96 == 0


def test_an_order_of_summation_that_was_asked_for_is_kept():
  problem = Fp8GemmProblem(1, 4096, 7168)
  split = next(
    config
    for config in legal_swapped_configs(problem, H200)
    if config.num_splits > 1
  )
  table = table_with(problem, split)
  assert choose(problem, H200, user=table) == split
  invariant = choose(problem, H200, batch_invariant=True, user=table)
  assert getattr(invariant, "num_splits", 1) == 1


def test_names_tell_problems_apart():
  problem = Fp8GemmProblem(1, 2, 3)
  others = [
    dataclasses.replace(problem, **{field: value})
    for field, value in (
      ("m", 2),
      ("num_groups", 2),
      ("sfb_per_row", True),
      ("float32_out", True),
      ("with_c", True),
    )
  ]
  names = {tuned.problem_name(p) for p in (problem, *others)}
  assert len(names) == 6
  bf16 = tuned_bf16.Bf16GemmProblem(1, 2, 3)
  fields = ("a_mn_major", "b_mn_major", "float32_out", "with_c")
  names = {
    tuned_bf16.problem_name(dataclasses.replace(bf16, **{field: True}))
    for field in fields
  }
  batch = dataclasses.replace(bf16, num_groups=2)
  names |= {tuned_bf16.problem_name(p) for p in (bf16, batch)}
  assert len(names) == 6


@pytest.mark.parametrize(
  ("sizes", "expected"),
  [
    ((1,), 1),
    ((2,), 2),
    ((3,), 3),
    ((4,), 4),
    ((5, 6), 6),
    ((7, 8), 8),
    ((65, 96), 96),
    ((97, 127, 128), 128),
    ((129, 192), 192),
  ],
)
def test_sizes_share_a_bucket_within_half_of_each_other(sizes, expected):
  assert {tuned_grouped.bucket(size) for size in sizes} == {expected}


def test_an_empty_table_knows_nothing():
  assert EMPTY.key("fp8_gemm", "a", H200) is None
