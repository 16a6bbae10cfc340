"""The benchmark of training steps: what its programs compute and launch."""

import functools

import jax
import numpy as np
import pytest

from benchmarks import command, kernel_programs, results, training
from benchmarks.program_times import Times
from jax_deepgemm.heuristics.device import H200

_SIZES = {
  "dot_general": (1, 130, 96, 160),
  "ragged_dot": (3, 40, 96, 160),
  "moe_mlp": (3, 40, 128, 160),
}
_CASES = [
  training.Case(name, *_SIZES[name], by)
  for name, kinds in training._BY.items()
  for by in kinds
]


@functools.cache
def computed(case):
  y, gradients = training.program(case)(*training.operands(case))
  return [np.asarray(x, np.float64) for x in (y, *gradients)]


@pytest.mark.parametrize(
  "case", _CASES, ids=lambda case: f"{case.operation}-{case.by}"
)
def test_what_is_timed_is_the_same_pass(case):
  found = computed(case)
  exact = computed(case._replace(by=training._BY[case.operation][-1]))
  for x, y in zip(found, exact, strict=True):
    if x.shape != y.shape:
      x = x.swapaxes(1, 2)  # Of a weight that has K last.
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    assert np.vdot(x, y) > (0.99 if "fp8" in case.by else 0.9999) * norms


@pytest.mark.parametrize(
  ("operation", "by", "launches"),
  [
    ("dot_general", "fp8", 6),
    ("dot_general", "fp8_recast", 8),
    ("ragged_dot", "fp8", 8),
    ("ragged_dot", "fp8_recast", 9),
    ("ragged_dot", "bf16", 3),
    # 6 casts, 4 products by rows, 2 by groups of K.
    ("moe_mlp", "fp8", 12),
    ("moe_mlp", "bf16", 6),
  ],
)
def test_programs_cast_and_multiply_as_often_as_they_must(
  operation, by, launches
):
  case = training.Case(operation, *_SIZES[operation], by)
  arrays = jax.eval_shape(lambda: training.operands(case))
  lowered = kernel_programs.lowered_for(
    training.program(case), *arrays, device="NVIDIA H200"
  )
  assert len(kernel_programs.launches(lowered)) == launches


def test_a_run_writes_all_rows(monkeypatch, tmp_path, capsys):
  monkeypatch.setattr(command, "process_device", lambda: H200)
  monkeypatch.setattr(training, "operands", lambda case: ())
  times = {"fp8": 100.0, "fp8_recast": 110.0, "bf16": 150.0, "xla": 1000.0}

  def profiled(calls, num_tests):
    assert num_tests == 10
    assert len(calls) == len(times)
    return [Times(time, 90.0) for time in times.values()]

  monkeypatch.setattr(training, "profiled", profiled)
  path = tmp_path / "training.json"
  assert training.main(["--only", "ragged_dot", "--output", str(path)]) == 0
  rows = results.read(path)["rows"]
  assert len(rows) == 2 * 4
  assert [row["over_fp8"] for row in rows[:4]] == [1, 1.1, 1.5, 10]
  flops = 3 * 2 * 8 * 4096 * 4096 * 7168
  assert rows[0]["tflops"] == pytest.approx(flops / 100 / 1e6, rel=1e-3)
  assert "fp8 is 10.000 times as fast" in capsys.readouterr().out
