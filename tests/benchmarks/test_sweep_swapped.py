"""What the sweep of swapped operands compares, without a GPU."""

from benchmarks import sweep, sweep_swapped
from jax_deepgemm.heuristics import tuned
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_gemm import Sm90Fp8GemmConfig


def test_every_weight_is_timed_with_four_sizes_or_one():
  assert len(sweep_swapped.cases(None)) == 4 * len(sweep_swapped.cases(16))
  assert {case[0] for case in sweep_swapped.cases(16)} == {16}


def test_forms_differ_and_some_come_without_a_hint():
  for case in sweep_swapped.cases(None):
    configs = sweep_swapped.swapped(sweep.problem_of(case), H200, 6)
    assert [c.evict_first for c in configs] == [True] * 6 + [False] * 4
    assert len({tuned.key_of(config) for config in configs}) == 10


def test_the_other_kernel_runs_as_the_table_says():
  problem = sweep.problem_of((1, 4096, 7168))
  config = sweep_swapped.present(problem, H200)
  assert isinstance(config, Sm90Fp8GemmConfig)
  assert config.a_rows == 8


def test_a_case_is_printed_best_first_beside_the_other_kernel(capsys):
  problem = sweep.problem_of((1, 4096, 7168))
  configs = sweep_swapped.swapped(problem, H200, 3)
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
  assert "16.00 us with the kernel for many rows, 6.8 us" in lines[0]
  assert lines[1].split()[0] == "10.00"
  assert len(lines) == 5
