"""The command without a checkpoint."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from jax_deepgemm.cli import demo, environment_report, errors, measurement
from jax_deepgemm.cli.main import main


def test_tables_show_environment_errors_and_verdict(few_shapes, capsys):
  assert main([]) == 0
  output = capsys.readouterr().out
  assert "kernel cache" in output
  assert "8 x 16 x 128" in output
  assert "second [bold]" in output
  assert "reference" in output
  assert "all 2 errors are below 0.001" in output


def test_json_says_the_same_and_nothing_else(few_shapes, capsys):
  assert main(["--json"]) == 0
  document = json.loads(capsys.readouterr().out)
  assert document["passed"] is True
  assert document["error_bound"] == 1e-3
  assert [row["name"] for row in document["rows"]] == [
    name for name, *_ in few_shapes
  ]
  for row in document["rows"]:
    assert row["path"] == "reference"
    assert 1e-5 < row["diff"] < 1e-3
    assert 1e-5 < row["weight_diff"] < 1e-3
    assert row["gemm_us"] > 0
    assert row["cast_and_gemm_us"] > 0
    assert row["bf16_dot_us"] > 0
    flops = 2 * row["m"] * row["n"] * row["k"]
    assert row["tflops"] == pytest.approx(flops / row["gemm_us"] / 1e6)


def test_what_the_library_prints_stays_out_of_the_json(
  few_shapes, capsys, monkeypatch
):
  report = environment_report.report()

  def noisy():
    print("diagnostics of DG_JIT_DEBUG")
    return report

  monkeypatch.setattr(environment_report, "report", noisy)
  assert main(["--json"]) == 0
  captured = capsys.readouterr()
  assert json.loads(captured.out)["environment"]["package"]
  assert "diagnostics" in captured.err


@pytest.mark.parametrize("diff", [1.1e-3, float("nan")])
def test_an_error_out_of_bounds_is_exit_code_1(
  few_shapes, capsys, monkeypatch, diff
):
  original = measurement.measure

  def inexact(name, x, weight):
    row = original(name, x, weight)
    return dataclasses.replace(row, diff=diff) if name == "first" else row

  monkeypatch.setattr(demo, "measure", inexact)
  assert main([]) == 1
  assert "1 of 2 errors are not below 0.001" in capsys.readouterr().out
  assert main(["--json"]) == 1
  document = json.loads(capsys.readouterr().out)
  assert document["passed"] is False
  assert [row["passed"] for row in document["rows"]] == [False, True]


def test_without_rich_the_command_says_what_to_install(capsys, monkeypatch):
  monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
  assert main([]) == 2
  message = capsys.readouterr().err
  assert "rich" in message
  assert "jax_deepgemm[cli]" in message


def test_json_needs_no_rich(few_shapes, capsys, monkeypatch):
  monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
  assert main(["--json"]) == 0
  assert json.loads(capsys.readouterr().out)["passed"]


@pytest.mark.parametrize(
  "arguments",
  [
    ["--rows", "0", "--weights", "x"],
    ["--rows", "many", "--weights", "x"],
    ["--layers", "(", "--weights", "x"],
    ["--rows", "3"],
    ["--layers", "a"],
    ["--unknown"],
  ],
)
def test_wrong_arguments_are_exit_code_2(arguments, capsys):
  with pytest.raises(SystemExit) as exit_:
    main(arguments)
  assert exit_.value.code == 2
  assert "error:" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_reported(tmp_path):
  assert environment_report.cache_problem(str(tmp_path / "new")) is None
  blocker = tmp_path / "file"
  blocker.write_text("")
  assert "cannot be written" in environment_report.cache_problem(
    str(blocker / "cache")
  )


def test_the_module_runs_the_whole_demo_in_a_process_of_its_own(tmp_path):
  done = subprocess.run(
    [sys.executable, "-m", "jax_deepgemm", "--json"],
    capture_output=True,
    check=False,
    text=True,
    env={**os.environ, "DG_JIT_CACHE_DIR": str(tmp_path / "kernels")},
  )
  assert done.returncode == 0, done.stderr
  document = json.loads(done.stdout)
  assert len(document["rows"]) >= 5
  assert document["environment"]["cache_directory"] == str(tmp_path / "kernels")
  assert document["environment"]["cache_problem"] is None


@pytest.mark.gpu
def test_the_demo_takes_the_kernel_on_hopper(capsys):
  assert main(["--json"]) == 0
  rows = json.loads(capsys.readouterr().out)["rows"]
  assert {row["path"] for row in rows} == {"kernel"}
  assert max(row["n"] for row in rows) == 7168
