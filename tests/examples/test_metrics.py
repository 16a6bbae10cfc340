"""Metrics on disk, and what is drawn and printed of them."""

import json

import pytest

import compare_meshes
import plot_losses
from moe import metrics, plot


def _rows(num_steps, offset=0.0):
  rows = [
    {"step": i, "loss": 5 / i + offset, "seconds": 0.5}
    for i in range(1, num_steps + 1)
  ]
  last = {"step": num_steps, "validation_loss": 3.0 + offset}
  return [*rows, last]


def _write(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_lines_after_the_checkpoint_are_dropped(tmp_path):
  _write(tmp_path / metrics.FILE, _rows(6))
  log = metrics.MetricsLog(tmp_path, 4)
  log.write(step=5, loss=1.0)
  log.close()
  rows = metrics.read(tmp_path / metrics.FILE)
  assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
  assert rows[-1]["loss"] == 1.0


def test_a_line_that_a_kill_has_cut_is_no_line(tmp_path):
  path = tmp_path / metrics.FILE
  path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
  assert metrics.read(path) == [{"step": 1, "loss": 2.0}]
  assert metrics.read(tmp_path / "none.jsonl") == []


def test_a_run_without_validation_has_no_final_loss():
  assert metrics.final_loss(_rows(3)) == 3.0
  with pytest.raises(ValueError, match="no validation loss"):
    metrics.final_loss(_rows(3)[:-1])


def test_the_mean_is_over_the_last_values():
  assert plot.smooth([1, 2, 3, 6], window=2) == [1, 1.5, 2.5, 4.5]


def test_a_figure_shows_every_run(tmp_path):
  pytest.importorskip("matplotlib", reason="draws with matplotlib")
  for i, name in enumerate(("bf16", "fp8")):
    _write(tmp_path / name / metrics.FILE, _rows(30, offset=i))
  one, both = tmp_path / "one.png", tmp_path / "figures" / "both.png"
  assert plot_losses.main([str(tmp_path / "bf16"), "-o", str(one)]) == 0
  folders = [str(tmp_path / "bf16"), str(tmp_path / "fp8" / metrics.FILE)]
  assert plot_losses.main([*folders, "-o", str(both)]) == 0
  assert both.read_bytes().startswith(b"\x89PNG")
  assert both.read_bytes() != one.read_bytes()


def test_a_figure_of_nothing_is_refused(tmp_path, capsys):
  assert plot_losses.main([str(tmp_path / "x.jsonl"), "-o", "y.png"]) == 2
  assert "no such file" in capsys.readouterr().err


def test_the_table_of_meshes_has_losses_by_seed_and_speed():
  found = {
    ("data=1", "0"): _rows(3),
    ("data=1", "1"): _rows(3, offset=0.5),
    ("expert=4", "0"): _rows(3, offset=0.1),
    ("expert=4", "1"): _rows(3, offset=0.6),
  }
  assert compare_meshes.table(found, tokens_per_step=1000).splitlines() == [
    "| mesh | loss, seed 0 | loss, seed 1 | mean | tokens/s |",
    "| --- | --- | --- | --- | --- |",
    "| data=1 | 3.0000 | 3.5000 | 3.2500 | 2,000 |",
    "| expert=4 | 3.1000 | 3.6000 | 3.3500 | 2,000 |",
  ]
