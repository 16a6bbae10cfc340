"""What the documents show of the grouped GEMMs."""

import pytest

from benchmarks import m_grouped_cases, plot, plot_grouped, results
from jax_deepgemm.testing import Samples


def _write_results(folder):
  """Writes a result for every case: 1, 1.25 or 2 times as fast as DeepGEMM."""
  rows = []
  for kind in m_grouped_cases.KINDS:
    for case in m_grouped_cases.cases(kind):
      _, tflops = m_grouped_cases.baseline(case)
      faster = {"contiguous": 1.0, "ragged": 1.25, "masked": 2.0}[kind]
      us = 2 * case.rows * case.n * case.k / tflops / faster / 1e6
      rows.append(m_grouped_cases.row_of(case, Samples((us,)), None))
  fields = {"gpu": "NVIDIA H200", "commit": "0123456789abcdef"}
  results.write(folder / "m_grouped_fp8.json", fields, rows)


def test_without_results_nothing_is_shown(tmp_path):
  assert plot_grouped.lines(tmp_path) == []
  assert plot_grouped.m_grouped_table(tmp_path) is None
  figure = tmp_path / "figure.png"
  assert not plot_grouped.draw_m_grouped(tmp_path, figure)
  assert not figure.exists()


def test_a_line_per_kind_is_the_mean_of_its_ratios(tmp_path):
  _write_results(tmp_path)
  rows = [
    {"case": {"num_groups": 4}, "ratio": 0.5},
    {"case": {"num_groups": 8}, "ratio": 0.98},
  ]
  results.write(tmp_path / "k_grouped_fp8.json", {"gpu": "a GPU"}, rows)
  assert plot_grouped.lines(tmp_path) == [
    "| m-grouped FP8, contiguous | 1.00 |",
    "| m-grouped FP8, ragged | 1.25 |",
    "| m-grouped FP8, masked | 2.00 |",
    "| k-grouped FP8 | 0.70 |",
  ]


def test_the_table_has_a_cell_for_every_case(tmp_path):
  _write_results(tmp_path)
  lines = plot_grouped.m_grouped_table(tmp_path).splitlines()
  assert lines[0].startswith("NVIDIA H200, commit 0123456789ab:")
  assert lines[2] == (
    "| groups x rows | 6144 x 7168 | 7168 x 3072 | 4096 x 4096 | 4096 x 2048 |"
  )
  names = [line.split("|")[1].strip() for line in lines[4:]]
  assert names == [
    *("contiguous 4 x 8192", "contiguous 8 x 4096"),
    *("ragged 4 x 8192", "ragged 8 x 4096"),
    *("masked 32 x 192", "masked 6 x 1024", "masked 32 x 20", "masked 6 x 20"),
  ]
  assert "| ragged 4 x 8192 | 1777 (1.25) |" in lines[6]
  for line in lines[2:]:
    assert line.count("|") == 6
  assert all("  " not in line for line in lines[4:])


def test_plot_writes_the_figure_the_lines_and_the_table(
  results_file, tmp_path, capsys
):
  pytest.importorskip("matplotlib", reason="draws with matplotlib")
  _write_results(results_file.parent)
  readme = tmp_path / "README.md"
  readme.write_text(f"{plot._BEGIN}\n{plot._END}\n")
  page = tmp_path / "docs" / "performance.md"
  page.parent.mkdir()
  page.write_text(f"a\n{plot._BEGIN_TABLE}\nold\n{plot._END_TABLE}\nb\n")
  arguments = ["--results", str(results_file), "--readme", str(readme)]
  assert plot.main(arguments) == 0
  figure = tmp_path / "docs" / "figures" / "m_grouped_fp8.png"
  assert figure.read_bytes().startswith(b"\x89PNG")
  text = readme.read_text()
  assert "](docs/figures/m_grouped_fp8.png)\n<!--" in text
  assert "|\n| m-grouped FP8, contiguous | 1.00 |\n" in text
  table = plot_grouped.m_grouped_table(results_file.parent)
  assert f"-->\n{table}\n<!--" in page.read_text()
  assert "old" not in page.read_text()
  assert capsys.readouterr().out.count("written") == 2
