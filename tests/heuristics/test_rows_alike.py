"""What was measured of m rows holds for others that fill the same tiles."""

import dataclasses

import pytest

from jax_deepgemm.heuristics import bf16_gemm, fp8_gemm, tuned, tuned_bf16
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_bf16_gemm import Bf16GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  legal_swapped_configs,
)

_FP8 = Fp8GemmProblem(4096, 2112, 7168)
_BF16 = Bf16GemmProblem(4096, 2112, 7168)


def rows(m):
  return sorted(set(tuned.rows_alike(m)))


@pytest.mark.parametrize(
  ("m", "least", "most"),
  [
    (1, 1, 8),
    (8, 1, 8),
    (9, 9, 16),
    (33, 33, 48),
    (65, 65, 96),
    (128, 97, 128),
    (129, 129, 192),
    (4095, 4033, 4096),
    (4097, 4097, 4160),
  ],
)
def test_rows_are_alike_if_no_size_of_tile_tells_them_apart(m, least, most):
  assert rows(m) == list(range(least, most + 1))
  assert next(tuned.rows_alike(m)) == m
  for block_m in (64, 128, 192, 256):
    assert len({-(-other // block_m) for other in rows(m)}) == 1


def test_steps_of_few_rows_are_those_of_the_kernel_for_them():
  blocks = {}
  for m in range(1, 129):
    config = next(legal_swapped_configs(Fp8GemmProblem(m, 512, 1024), H200))
    blocks.setdefault(config.block_m, []).append(m)
  assert all(rows(same[0]) == same for same in blocks.values())


@pytest.mark.parametrize(
  ("is_fp8", "m", "like"),
  [
    *((True, 4095, 4096), (True, 4033, 4096), (True, 5, 1), (True, 65, 96)),
    *((False, 4095, 4096), (False, 4033, 4096), (False, 5, 1)),
    # With 96 rows these were not measured.
    *((True, 97, 128), (False, 65, 128)),
  ],
)
def test_a_row_more_or_less_is_no_other_tile(is_fp8, m, like):
  module, table = (fp8_gemm, tuned) if is_fp8 else (bf16_gemm, tuned_bf16)
  problem = _FP8 if is_fp8 else _BF16
  key = table.lookup(dataclasses.replace(problem, m=like), H200)
  assert key is not None
  problem = dataclasses.replace(problem, m=m)
  assert table.lookup(problem, H200) == key
  config = module.choose(problem, H200)
  assert table.key_of(config) == key


def test_what_was_measured_of_the_very_problem_goes_first(monkeypatch):
  names = {
    tuned.problem_name(dataclasses.replace(_FP8, m=m)): (m,)
    for m in (4090, 4096)
  }
  monkeypatch.setattr(tuned, "table", {tuned.TABLE: names}.get)
  for m, key in ((4090, 4090), (4089, 4096), (4096, 4096)):
    problem = dataclasses.replace(_FP8, m=m)
    assert tuned.lookup(problem, H200) == (key,)


def test_more_tiles_are_another_problem():
  for m in (4097, 4032, 129, 17):
    problem = dataclasses.replace(_FP8, m=m)
    assert tuned.lookup(problem, H200) is None
  other = dataclasses.replace(_FP8, m=4095, float32_out=True)
  assert tuned.lookup(other, H200) is None
