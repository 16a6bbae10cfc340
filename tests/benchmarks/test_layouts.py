"""The benchmark of layouts: what it multiplies, and what it says of it."""

import jax
import numpy as np
import pytest

from benchmarks import command, dense, kernel_programs, layouts, results
from benchmarks.layouts import Case, rows_of
from benchmarks.program_times import Times
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.testing import calc_diff

_SMALL = [case._replace(m=24, n=40, k=256) for case in layouts.cases()[:8]]


@pytest.mark.parametrize("case", _SMALL, ids=str)
def test_every_layout_is_the_same_product(case):
  a, b = layouts.operands(case)
  values = a[0] if case.kind == "quantised" else a
  assert values.shape == ((256, 24) if case.layout[0] == "t" else (24, 256))
  d = layouts.product(case)(a, b)
  x, w = (
    np.asarray(x, np.float64) for x in dense.operands((case.m, case.n, case.k))
  )
  assert calc_diff(d, x @ w.T) < 1e-3


def test_every_size_has_every_layout_beside_nt():
  cases = layouts.cases()
  assert len(set(cases)) == len(cases) == 2 * 4 * 8
  for first in range(0, len(cases), 8):
    same = cases[first : first + 8]
    assert len({case[:3] for case in same}) == 1
    assert [case.layout for case in same] == ["nt", "nn", "tn", "tt"] * 2


@pytest.mark.parametrize("case", layouts.cases()[:8], ids=str)
def test_each_case_lowers_to_one_gemm(case):
  arguments = jax.eval_shape(lambda: layouts.operands(case))
  lowered = kernel_programs.lowered_for(
    layouts.product(case), *arguments, device="NVIDIA H200"
  )
  names = [x["kernel"] for x in kernel_programs.launches(lowered)]
  assert [name for name in names if "cast" not in name] == ["sm90_fp8_gemm"]
  assert len(names) == (1 if case.kind == "quantised" else 3)


def test_transposes_are_what_is_on_top_of_nt():
  nt = Case(128, 1000, 2000, "nt", "quantised")
  same = [nt, nt._replace(layout="tn"), nt._replace(layout="tt")]
  rows = rows_of(same, [Times(10.0, 8.0), Times(30.0, 8.0), Times(9.0, 8.0)])
  assert "transposes_us" not in rows[0]
  assert rows[1]["transposes_us"] == 20
  moved = 2 * (128 + 1000) * 2000
  assert rows[1]["transposes_gbps"] == pytest.approx(moved / 20e3, abs=0.1)
  assert rows[2]["transposes_gbps"] is None
  assert "transposes    20.00 us" in layouts.line(rows[1])
  assert nt._replace(layout="nn", kind="bfloat16").transposed_bytes == 4000000
  assert nt._replace(layout="tt").transposed_bytes == 256000


def test_a_run_writes_all_rows(monkeypatch, tmp_path):
  monkeypatch.setattr(command, "process_device", lambda: H200)
  monkeypatch.setattr(layouts, "operands", lambda case: (0, 0))
  monkeypatch.setattr(
    layouts, "compiled", lambda cases: dict.fromkeys(cases, max)
  )
  monkeypatch.setattr(
    layouts, "profiled", lambda calls, _: [Times(2.0, 1.0) for _ in calls]
  )
  path = tmp_path / "layouts.json"
  assert layouts.main(["--output", str(path), "--only-m", "128"]) == 0
  rows = results.read(path)["rows"]
  assert len(rows) == 32
  assert {row["case"]["m"] for row in rows} == {128}
