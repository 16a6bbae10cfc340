"""Ratios to a baseline, and what is drawn from them."""

import json

import pytest

from benchmarks import compare, plot, results
from benchmarks.compare import Comparison


def test_a_ratio_above_one_is_faster(document):
  baseline = results.read(results.BASELINE)["rows"]
  both, ours, theirs = compare.compare(document[1], baseline)
  assert [item.case for item in both] == [
    (1, 2112, 7168),
    (128, 2112, 7168),
    (4096, 4096, 7168),
  ]
  assert both[0].ratio == pytest.approx(14.1 / 7.05)
  assert both[1].ratio == pytest.approx(1.0)
  assert ours == []
  assert len(theirs) == 25


def test_cases_of_one_side_alone_are_named(capsys, tmp_path, document):
  fields, rows = document
  rows[0]["case"] = {"m": 2, "n": 3, "k": 4}
  path = tmp_path / "r.json"
  results.write(path, fields, rows)
  assert compare.main([str(path)]) == 0
  output = capsys.readouterr().out
  assert "not in the baseline: (2, 3, 4)" in output
  assert "only in the baseline: (1, 2112, 7168)" in output


def test_means_are_geometric_by_m_and_over_all():
  items = [
    Comparison((1, 8, 8), us=1, baseline_us=2),
    Comparison((1, 8, 16), us=1, baseline_us=8),
    Comparison((128, 8, 8), us=1, baseline_us=0.5),
  ]
  means = compare.geometric_means(items)
  assert means["m = 1"] == pytest.approx(4)
  assert means["m = 128"] == pytest.approx(0.5)
  assert means["all"] == pytest.approx(2)
  assert compare.geometric_means([]) == {}


def test_a_yardstick_beside_each_takes_the_gpu_out_of_the_ratio():
  row = {"case": {"m": 128, "n": 8, "k": 8}, "us_median": 2.0}
  baseline = [row | {"us_median": 3.0, "speedup_over_cublas": 1.2}]
  ((item,), _, _) = compare.compare([row | {"xla_fp8_dot_us": 3.0}], baseline)
  assert item.ratio == pytest.approx(1.5)
  assert item.same_gpu_ratio == pytest.approx(1.5 / 1.2)
  ((item,), _, _) = compare.compare([row], baseline)
  assert item.same_gpu_ratio is None
  assert compare.geometric_means([item], "same_gpu_ratio") == {}


@pytest.mark.parametrize(("bound", "code"), [("0.8", 0), ("0.9", 1)])
def test_a_bound_decides_the_exit_code(results_file, bound, code, capsys):
  assert compare.main([str(results_file), "--fail-below", bound]) == code
  assert "geometric means" in capsys.readouterr().out


def test_nothing_to_compare_fails_any_bound(results_file, tmp_path, capsys):
  empty = tmp_path / "empty.json"
  empty.write_text(json.dumps({"about": "nothing", "rows": []}))
  arguments = [str(results_file), "--baseline", str(empty)]
  assert compare.main(arguments) == 0
  assert compare.main([*arguments, "--fail-below", "0"]) == 1
  capsys.readouterr()


def test_the_plot_draws_a_figure_and_fills_the_readme(
  results_file, tmp_path, capsys
):
  pytest.importorskip("matplotlib", reason="draws with matplotlib")
  readme = tmp_path / "README.md"
  markers = f"{plot._BEGIN}\nold\n{plot._END}"
  readme.write_text(f"# title\n\n{markers}\n\nrest\n")
  arguments = ["--results", str(results_file), "--readme", str(readme)]
  assert plot.main(arguments) == 0
  figure = tmp_path / "docs" / "figures" / "dense_fp8.png"
  assert figure.read_bytes().startswith(b"\x89PNG")
  text = readme.read_text()
  assert "](docs/figures/dense_fp8.png)" in text
  assert "| dense FP8, m = 1 | 2.00 |" in text
  assert "NVIDIA H200, driver 580.159" in text
  assert "old" not in text
  assert text.endswith(f"{plot._END}\n\nrest\n")
  assert plot.main(arguments) == 0
  assert readme.read_text() == text
  capsys.readouterr()


def test_a_readme_without_markers_is_left_alone(tmp_path):
  readme = tmp_path / "README.md"
  readme.write_text(f"{plot._END} {plot._BEGIN}")
  with pytest.raises(ValueError, match="must hold the lines"):
    plot.write_section(readme, "text")
  assert readme.read_text() == f"{plot._END} {plot._BEGIN}"
