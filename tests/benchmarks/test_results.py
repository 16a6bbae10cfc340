"""Files of results, cases and the baseline."""

import json
import subprocess

import pytest

from benchmarks import (
  dense_bf16,
  provenance,
  results,
  sweep,
  sweep_bf16,
)
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_bf16_gemm import Bf16GemmProblem


def test_what_is_written_is_read_back(document, results_file):
  fields, rows = document
  assert results.read(results_file) == {**fields, "rows": rows}


def test_each_row_is_one_line(document, results_file):
  lines = results_file.read_text().splitlines()
  parsed = [json.loads(line.rstrip(",")) for line in lines if '"case"' in line]
  assert parsed == document[1]


def test_a_row_holds_median_extremes_and_speed(document):
  row = document[1][2]
  assert (row["us_min"], row["us_median"], row["us_max"]) == (190, 200, 210)
  assert row["tflops"] == pytest.approx(2 * 4096 * 4096 * 7168 / 200e-6 / 1e12)


def test_cases_and_baseline_are_the_same_28_products():
  cases = results.dense_cases()
  baseline = results.read(results.BASELINE)["rows"]
  assert len(cases) == len(set(cases)) == 28
  assert {results.case_of(row) for row in baseline} == set(cases)
  assert {m for m, _, _ in cases} == {1, 128, 4096}


def test_the_baseline_agrees_with_its_own_speed():
  for row in results.read(results.BASELINE)["rows"]:
    m, n, k = results.case_of(row)
    tflops = 2 * m * n * k / row["us_median"] / 1e6
    # Times are given to 0.1 us and speeds to 1 TFLOP/s.
    assert tflops == pytest.approx(row["tflops"], rel=0.01, abs=0.6)


def test_provenance_names_all_that_decides_a_time():
  fields = provenance.collect("a method", commit="abc")
  assert fields["commit"] == "abc"
  assert fields["method"] == "a method"
  assert set(fields) == {
    "commit",
    "gpu",
    "driver",
    "compiler",
    "jax",
    "date",
    "method",
  }
  json.dumps(fields)


def test_a_changed_tree_is_dirty(tmp_path):
  def git(*arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    command = ["git", "-C", str(tmp_path), *identity, *arguments]
    subprocess.run(command, check=True, capture_output=True)

  assert provenance.git_commit(tmp_path) == "unknown"
  git("init")
  (tmp_path / "file").write_text("1")
  git("add", "file")
  git("commit", "-m", "first")
  clean = provenance.git_commit(tmp_path)
  assert len(clean) == 40
  (tmp_path / "result").write_text("untracked")
  assert provenance.git_commit(tmp_path) == clean
  (tmp_path / "file").write_text("2")
  assert provenance.git_commit(tmp_path) == f"{clean}-dirty"


def test_cases_of_bfloat16_are_forward_and_both_gradients():
  problems = results.bf16_problems()
  assert len(set(problems)) == len(problems) == 75
  assert {dense_bf16.layout(p) for p in problems} == {"nt", "nn", "tn"}
  assert {p.m for p in problems} >= {1, 128, 4096}


def test_operands_of_bfloat16_fit_the_function_of_their_layout():
  for layout in ("nt", "nn", "tn"):
    problem = Bf16GemmProblem(
      8, 16, 24, 1, layout[0] == "t", layout[1] == "n", True, True
    )
    arrays = dense_bf16.operands(problem)
    results_of_both = [
      dense_bf16.program(prefix, problem)(*arrays)
      for prefix in ("bf16", "cublaslt")
    ]
    assert results_of_both[0].shape == (8, 16)
    assert abs(results_of_both[0] - results_of_both[1]).max() < 1e-3


def test_the_table_of_bfloat16_gets_the_fastest_of_each_case(tmp_path):
  table = tmp_path / "table.json"
  table.write_text('{"about": "x", "configs": {"b": [9]}}')
  rows = [
    {"us_median": 3.0, "key": [1, 2], "name": "a"},
    {"us_median": 2.0, "key": [3, 4], "name": "a"},
  ]
  sweep.write_table(rows, table, lambda row: row["name"])
  assert json.loads(table.read_text())["configs"] == {"a": [3, 4], "b": [9]}


def test_candidates_differ_in_more_than_staging_buffers():
  problem = Bf16GemmProblem(4096, 2112, 7168)
  configs = sweep_bf16.candidates_of(problem, H200, 16)
  keys = {sweep_bf16.tuned_bf16.key_of(config)[:-1] for config in configs}
  assert len(keys) == len(configs) == 16
