"""The m-grouped benchmark: its cases, its rows, what it times."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
  command,
  kernel_programs,
  m_grouped,
  m_grouped_cases,
  m_grouped_operands,
  m_grouped_sweep,
  results,
)
from benchmarks.m_grouped_cases import MGroupedCase
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.m_grouped_bf16_gemm import choose_grouped
from jax_deepgemm.testing import Samples, calc_diff

_DEVICE = "NVIDIA H200"
_SIZES = (130, 0, 20)


def _every_case():
  return [
    case
    for kind in m_grouped_cases.KINDS
    for case in m_grouped_cases.cases(kind)
  ] + m_grouped_cases.cases("contiguous", "index")


def _small(kind, layout, dtype="fp8"):
  max_m = 136 if kind == "masked" else None
  return MGroupedCase(kind, layout, 24, 256, _SIZES, 64, None, max_m, dtype)


def _shapes(case):
  """Returns the operands' shapes: the real ones take a gigabyte."""
  return jax.eval_shape(lambda: m_grouped_operands.operands(case))


def test_cases_are_complete_and_have_baselines():
  counts = [len(m_grouped_cases.cases(kind)) for kind in m_grouped_cases.KINDS]
  assert counts == [8, 8, 16]
  assert len(set(_every_case())) == 40
  seen = set()
  for case in _every_case():
    microseconds, tflops = m_grouped_cases.baseline(case)
    seen.add((microseconds, tflops))
    # The sizes are drawn within 0.7 to 1.3 of what is expected.
    for size in case.sizes:
      assert 0.69 * case.expected_m <= size <= 1.31 * case.expected_m
  assert len(seen) == 32  # Ragged groups share those of psum.
  with pytest.raises(ValueError, match="the baseline has no"):
    m_grouped_cases.baseline(_small("ragged", "ragged"))


def test_contiguous_baselines_are_those_of_the_same_groups():
  rows = results.read(m_grouped_cases.BASELINE)["rows"]
  rows = [row for row in rows if row["case"]["kind"] == "contiguous"]
  cases = m_grouped_cases.cases("contiguous")
  cases += m_grouped_cases.cases("contiguous", "index")
  for case, row in zip(cases, rows, strict=True):
    assert row["case"]["m"] == case.padded_rows
    flops = 2 * case.padded_rows * case.n * case.k
    tflops = flops / row["us_median"] / 1e6
    assert tflops == pytest.approx(row["tflops"], rel=0.003)
    microseconds, useful = m_grouped_cases.baseline(case)
    flops = 2 * case.rows * case.n * case.k
    assert flops / microseconds / 1e6 == pytest.approx(useful, rel=0.003)


def test_a_row_counts_rows_of_groups_alone():
  case = next(
    case for case in m_grouped_cases.cases("masked") if case.expected_m == 192
  )
  row = m_grouped_cases.row_of(case, Samples((500.0,)), None, chosen=True)
  assert row["case"]["m"] == sum(case.sizes) < 32 * 250
  tflops = 2 * sum(case.sizes) * case.n * case.k / 500e-6 / 1e12
  assert row["tflops"] == pytest.approx(tflops, rel=1e-4)
  assert row["deepgemm_tflops"] == 977
  assert row["ratio"] == pytest.approx(tflops / 977, rel=1e-3)
  a_and_d = sum(case.sizes) * (case.k + 4 * 56 + 2 * case.n)
  b = 32 * (case.n * case.k + 48 * 56 * 4)
  assert row["gbps"] == pytest.approx((a_and_d + b) / 500e-6 / 1e9, rel=1e-3)
  assert "500.00 us" in m_grouped.line(row)
  (mean,) = m_grouped.means([row, row])
  assert mean.startswith("masked:")
  assert mean.endswith(f"{row['ratio']:.3f}")


@pytest.mark.parametrize(
  ("kind", "layout"),
  [
    ("contiguous", "psum"),
    ("contiguous", "index"),
    ("ragged", "ragged"),
    ("masked", "masked"),
  ],
)
def test_what_is_timed_is_the_product_of_each_group(kind, layout):
  case = _small(kind, layout)
  a, b, array = m_grouped_operands.operands(case)
  for values, scales in (a, b):
    assert values.dtype == jnp.float8_e4m3fn
    assert np.isfinite(np.asarray(values, np.float32)).all()
    assert (np.asarray(scales) > 0).all()
  d = np.asarray(m_grouped_operands.product(case)(a, b, array), np.float64)
  assert d.shape == (*case.a_shape[:-1], case.n)
  left = _dequantize(a, 1).reshape(-1, case.k)
  right = _dequantize(b, 128)
  first = {"masked": 2 * 136, "ragged": 130}.get(kind, 256)
  d = d.reshape(-1, case.n)
  for group, begin, size in ((0, 0, 130), (2, first, 20)):
    exact = left[begin : begin + size] @ right[group].T
    assert calc_diff(d[begin : begin + size], exact) < 1e-4
  assert np.asarray(array).size == (256 + 128 if layout == "index" else 3)


@pytest.mark.parametrize("layout", ["psum", "index", "ragged", "masked"])
def test_bfloat16_is_timed_by_the_same_cases(layout):
  kind = layout if layout in ("ragged", "masked") else "contiguous"
  case = _small(kind, layout, "bf16")
  a, b, array = m_grouped_operands.operands(case)
  assert a.dtype == b.dtype == jnp.bfloat16
  d = np.asarray(m_grouped_operands.product(case)(a, b, array), np.float64)
  left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
  assert d.shape == (*case.a_shape[:-1], case.n)
  first = {"masked": 2 * 136, "ragged": 130}.get(kind, 256)
  d, left = d.reshape(-1, case.n), left.reshape(-1, case.k)
  for group, begin, size in ((0, 0, 130), (2, first, 20)):
    exact = left[begin : begin + size] @ right[group].T
    assert calc_diff(d[begin : begin + size], exact) < 1e-4


def test_a_row_of_bfloat16_is_compared_with_nothing_of_fp8(capsys):
  case = m_grouped_cases.cases("ragged", dtype="bf16")[0]
  row = m_grouped_cases.row_of(
    case, Samples((4000.0,)), None, ragged_dot_us=8000.0
  )
  assert "ratio" not in row
  assert m_grouped.means([row]) == []
  moved = case.rows * (case.k + case.n) + 4 * case.n * case.k
  assert row["gbps"] == pytest.approx(2 * moved / 4000e-6 / 1e9, rel=1e-3)
  text = m_grouped.line(row)
  assert "8000.00 us" in text
  assert "DeepGEMM" not in text
  with pytest.raises(SystemExit):
    m_grouped.main(["--dtype", "bf16", "--sweep"])
  assert "tune" in capsys.readouterr().err


def test_a_case_of_bfloat16_lowers_to_its_kernel():
  case = m_grouped_cases.cases("masked", dtype="bf16")[0]
  fn = m_grouped_operands.product(case)
  lowered = kernel_programs.lowered_for(fn, *_shapes(case), device=_DEVICE)
  (launch,) = kernel_programs.launches(lowered)
  assert launch["kernel"] == "sm90_m_grouped_bf16_gemm"
  shown = m_grouped_sweep.describe(kernel_programs.config_of(launch))
  choice = choose_grouped(case.problem, H200)
  assert shown == m_grouped_sweep.describe(m_grouped.dataclasses.asdict(choice))


def _dequantize(operand, rows):
  values, scales = (np.asarray(x, np.float64) for x in operand)
  scales = scales.repeat(rows, axis=-2)[..., : values.shape[-2], :]
  return values * scales.repeat(128, axis=-1)


def test_end_to_end_multiplies_what_ragged_dot_does():
  case = _small("ragged", "ragged")
  x, w = m_grouped_operands.tokens(case)
  sizes = m_grouped_operands.layout_array(case)
  b = m_grouped.jax_deepgemm.per_block_cast_to_fp8(w)
  ours = m_grouped_operands.cast_and_gemm(x, b, sizes)
  theirs = m_grouped_operands.ragged_dot(x, w.mT, sizes)
  assert calc_diff(ours, theirs) < 1e-3


def test_end_to_end_is_a_cast_and_a_kernel():
  arguments = m_grouped._parser().parse_args(["--end-to-end"])
  for case in m_grouped.selected(arguments):
    sizes = m_grouped_operands.layout_array(case)
    x, w = jax.eval_shape(lambda case=case: m_grouped_operands.tokens(case))
    b = jax.eval_shape(m_grouped.jax_deepgemm.per_block_cast_to_fp8, w)
    lowered = kernel_programs.lowered_for(
      m_grouped_operands.cast_and_gemm, x, b, sizes, device=_DEVICE
    )
    names = [launch["kernel"] for launch in kernel_programs.launches(lowered)]
    assert names == ["sm90_cast_rows", "sm90_m_grouped_fp8_gemm"]


@pytest.mark.parametrize("case", [c for c in _every_case() if c.k == 7168])
def test_lowered_programs_hold_the_kernel_of_the_problem(case):
  fn = m_grouped_operands.product(case)
  lowered = kernel_programs.lowered_for(fn, *_shapes(case), device=_DEVICE)
  (launch,) = kernel_programs.launches(lowered)
  assert launch["kernel"] == "sm90_m_grouped_fp8_gemm"
  # What a sweep takes for the choice is what the public function chooses.
  config = m_grouped_sweep.chosen(case)
  assert launch["smem_bytes"] == config.smem_bytes
  recipe = m_grouped_sweep.sm90_m_grouped_fp8_gemm.recipe(config)
  assert launch["source"] == recipe.source
  # A row of results describes it as a sweep does.
  shown = kernel_programs.config_of(launch)
  fields = m_grouped.dataclasses.asdict(config)
  describe = m_grouped_sweep.describe
  assert describe(shown) == describe(fields)


def test_a_sweep_runs_each_of_its_configurations():
  case = m_grouped_cases.cases("ragged")[0]
  configs = m_grouped_sweep.configs_of(case)
  choice = m_grouped_sweep.chosen(case)
  assert choice in configs
  assert all(config.block_n >= 64 for config in configs if config != choice)
  assert len({m_grouped_sweep._form(config) for config in configs}) == len(
    configs
  )
  few = m_grouped_sweep.configs_of(case, 4)
  assert few == configs[:4]
  shapes = _shapes(case)
  for config in few:
    fn = m_grouped_sweep.product_with(case, config)
    lowered = kernel_programs.lowered_for(fn, *shapes, device=_DEVICE)
    (launch,) = kernel_programs.launches(lowered)
    recipe = m_grouped_sweep.sm90_m_grouped_fp8_gemm.recipe(config)
    assert launch["source"] == recipe.source


def test_a_sweep_says_where_the_choice_ranks():
  case = m_grouped_cases.cases("ragged")[0]
  rows = [
    m_grouped_cases.row_of(
      case,
      Samples((2000.0 + i,)),
      m_grouped.dataclasses.asdict(config),
      chosen=i == 6,
      estimate_us=m_grouped_sweep.estimate_us(case, config),
    )
    for i, config in enumerate(m_grouped_sweep.configs_of(case, 8))
  ]
  lines = m_grouped_sweep.report(rows[::-1]).splitlines()
  assert [text.split()[0] for text in lines[:5]] == [
    f"{2000 + i:.2f}" for i in range(5)
  ]
  assert "number 7 of 8, 1.003 of the fastest time" in lines[5]


def _rows_of_a_run(monkeypatch, path, *options):
  """Returns the rows that main writes with stubs for the GPU."""
  monkeypatch.setattr(command, "process_device", lambda: H200)
  monkeypatch.setattr(
    m_grouped,
    "_time_kernel",
    lambda case, num_tests: iter(
      [m_grouped_cases.row_of(case, Samples((100.0,)), None)]
    ),
  )
  assert m_grouped.main(["--output", str(path), *options]) == 0
  return results.read(path)["rows"]


def test_results_are_written_and_summed_up(capsys, monkeypatch, tmp_path):
  rows = _rows_of_a_run(monkeypatch, tmp_path / "all.json")
  assert len(rows) == 8 + 8 + 16
  assert capsys.readouterr().out.count("geometric mean") == 3
  rows = _rows_of_a_run(
    monkeypatch, tmp_path / "few.json", "--kind", "masked", "--only-groups", "6"
  )
  assert {row["case"]["kind"] for row in rows} == {"masked"}
  assert len(rows) == 8
  rows = _rows_of_a_run(
    monkeypatch,
    tmp_path / "index.json",
    *("--kind", "contiguous", "--layout", "index"),
  )
  assert {row["case"]["layout"] for row in rows} == {"index"}


def test_parts_of_the_benchmark_do_not_replace_the_whole():
  parse = m_grouped._parser().parse_args
  names = [
    m_grouped._result_name(parse(options.split()))
    for options in (
      "",
      "--kind masked",
      "--layout index",
      "--sweep",
      "--only-groups 6",
      "--only-m 192",
      "--end-to-end",
      "--dtype bf16",
    )
  ]
  assert names[0] == "m_grouped_fp8"
  assert len(set(names)) == len(names)
