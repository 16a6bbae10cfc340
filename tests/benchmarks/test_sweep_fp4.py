"""What the sweep of FP4 weights compares, without a GPU."""

import json
import types

from benchmarks import results, sweep, sweep_fp4
from jax_deepgemm.heuristics import fp8_fp4_gemm, tuned_fp4
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import Fp8Fp4GemmProblem


def test_forms_differ_in_their_keys():
  for case in sweep_fp4.cases(None):
    problem = Fp8Fp4GemmProblem(*case)
    configs = sweep_fp4.swapped(problem, H200, 6)
    assert [c.evict_first for c in configs] == [True] * 6 + [False] * 2
    configs.append(sweep_fp4.many_rows(problem, H200))
    assert len({tuned_fp4.key_of(config) for config in configs}) == 9


def test_what_the_sweep_writes_is_what_is_chosen(tmp_path, monkeypatch):
  case = (1, 4096, 7168)
  problem = Fp8Fp4GemmProblem(*case)
  fast = sweep_fp4.swapped(problem, H200, 6)[5]
  assert fast != fp8_fp4_gemm.choose(problem, H200)
  path = tmp_path / "table.json"
  path.write_text('{"about": "", "configs": {}}')
  row = {
    "case": dict(zip(("m", "n", "k"), case, strict=True)),
    "us_median": 1.0,
    "key": list(tuned_fp4.key_of(fast)),
  }
  slow = {**row, "us_median": 2.0, "key": []}
  sweep.write_table([slow, row], path, sweep_fp4.name_of)
  table = json.loads(path.read_text())["configs"]
  assert list(table) == ["nt bf16 1x4096x7168"]
  assert results.case_of(row) == case
  measured = types.SimpleNamespace(
    **vars(tuned_fp4)
    | {"lookup": lambda p, _: tuple(table[tuned_fp4.problem_name(p)])}
  )
  monkeypatch.setattr(fp8_fp4_gemm, "tuned_fp4", measured)
  assert fp8_fp4_gemm.choose(problem, H200) == fast


def test_a_case_is_printed_best_first_beside_the_others(capsys):
  problem = Fp8Fp4GemmProblem(1, 4096, 7168)
  configs = sweep_fp4.swapped(problem, H200, 3)
  configs.append(sweep_fp4.many_rows(problem, H200))
  rows = [
    {
      "case": {"m": 1, "n": 4096, "k": 7168},
      "us_median": 10.0 + i,
      "estimate_us": 9.0,
      "fp8_us": 11.0,
      "key": list(tuned_fp4.key_of(config)),
      "config": sweep.dataclasses.asdict(config),
    }
    for i, config in enumerate(configs)
  ]
  sweep_fp4.print_case(rows)
  lines = capsys.readouterr().out.splitlines()
  assert "15.00 us with the kernel for many rows, 11.00 us" in lines[0]
  assert lines[1].split()[0] == "10.00"
  assert len(lines) == 5
