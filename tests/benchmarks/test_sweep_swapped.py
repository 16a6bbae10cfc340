"""What the sweep of few rows and few tiles compares, without a GPU."""

import pytest

from benchmarks import sweep, sweep_swapped
from jax_deepgemm.heuristics import tuned
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_gemm import Sm90Fp8GemmConfig


def test_every_weight_is_timed_with_five_sizes_or_one():
  assert len(sweep_swapped.cases(None)) == 5 * len(sweep_swapped.cases(16))
  assert {case[0] for case in sweep_swapped.cases(16)} == {16}


def _kernels(configs):
  """Returns the first word of each key, "many" for the kernel without one."""
  keys = [tuned.key_of(config) for config in configs]
  assert len(set(keys)) == len(keys)
  return [key[0] if isinstance(key[0], str) else "many" for key in keys]


def test_forms_differ_and_some_come_without_a_hint():
  for case in sweep_swapped.cases(None):
    configs = sweep_swapped.swapped(sweep.problem_of(case), H200, 6)
    assert [c.evict_first for c in configs] == [True] * 6 + [False] * 4
    assert _kernels(configs) == ["swapped"] * 10


@pytest.mark.parametrize("m", [64, 96, 256])
def test_forms_for_few_tiles_differ_too(m):
  for case in sweep_swapped.cases(m):
    if case[1] > 10000:
      continue  # Many tiles.
    configs = sweep_swapped.split(sweep.problem_of(case), H200, 6)
    assert _kernels(configs) == ["split"] * len(configs)
    hints = [c.evict_first for c in configs]
    assert hints == [True] * (len(hints) - 4) + [False] * 4
    assert 8 <= len(hints) <= 10


@pytest.mark.parametrize(
  ("case", "kernels"),
  [
    ((16, 4096, 7168), {"many", "swapped"}),
    ((64, 4096, 7168), {"many", "swapped", "split"}),
    ((128, 24576, 1536), {"many", "swapped"}),
    ((256, 4096, 7168), {"many", "split"}),
    ((4096, 4096, 7168), {"many"}),
  ],
)
def test_kernels_are_timed_where_they_are_legal(case, kernels):
  configs = sweep_swapped.candidates_of(sweep.problem_of(case), H200, 4)
  assert set(_kernels(configs)) == kernels
  sources = {sweep.recipe_of(config).kernel for config in configs}
  assert len(sources) == len(kernels)


def test_the_other_kernel_runs_as_the_table_says():
  problem = sweep.problem_of((1, 4096, 7168))
  config = sweep_swapped.present(problem, H200)
  assert isinstance(config, Sm90Fp8GemmConfig)
  assert config.a_rows == 8


def test_a_case_is_printed_best_first_beside_the_other_kernel(capsys):
  problem = sweep.problem_of((64, 4096, 7168))
  configs = sweep_swapped.split(problem, H200, 1)[:1]
  configs += sweep_swapped.swapped(problem, H200, 5)
  configs.append(sweep_swapped.present(problem, H200))
  rows = [
    {
      "us_median": 10.0 + i,
      "key": list(tuned.key_of(config)),
      "config": sweep.dataclasses.asdict(config),
    }
    for i, config in enumerate(configs)
  ]
  sweep_swapped.print_case(problem, rows, H200)
  lines = capsys.readouterr().out.splitlines()
  assert "20.00 us with the kernel for many rows, 6.8 us" in lines[0]
  assert lines[1].split()[0] == "10.00"
  assert ": split, tile 64 x " in lines[1]
  assert ": swapped, tile 64 x " in lines[2]
  assert len(lines) == 5


def test_the_fastest_of_any_kernel_goes_to_the_table(tmp_path):
  table = tmp_path / "table.json"
  table.write_text('{"about": "x", "configs": {"1d2d bf16 1x2x3": [1]}}')
  m, n, k = case = (96, 576, 7168)
  problem = sweep.problem_of(case)
  configs = sweep_swapped.candidates_of(problem, H200, 2)
  wanted = sweep_swapped.split(problem, H200, 2)[1]
  rows = [
    {
      "case": {"m": m, "n": n, "k": k},
      "us_median": 1.0 + (config != wanted),
      "key": list(tuned.key_of(config)),
    }
    for config in configs
  ]
  sweep.write_table(rows, table, sweep.name_of)
  assert sweep.results.read(table)["configs"] == {
    "1d2d bf16 1x2x3": [1],
    "1d2d bf16 96x576x7168": list(tuned.key_of(wanted)),
  }
