"""What all commands that time something on a GPU share."""

import dataclasses
import importlib
import pathlib

import pytest

from benchmarks import command, results
from jax_deepgemm.heuristics.device import H200

_FOLDER = pathlib.Path(command.__file__).parent
_OLD = dataclasses.replace(H200, compute_capability=(8, 0))
_ARGUMENTS = {"sweep_grouped": ["k_grouped_fp8"]}
_NAMES = [
  path.stem
  for path in sorted(_FOLDER.glob("*.py"))
  if "command.parser(" in path.read_text()
]


@pytest.mark.parametrize("device", [None, _OLD], ids=["none", "old"])
@pytest.mark.parametrize("name", _NAMES)
def test_they_refuse_a_machine_without_hopper(
  capsys, monkeypatch, name, device
):
  monkeypatch.setattr(command, "process_device", lambda: device)
  module = importlib.import_module(f"benchmarks.{name}")
  with pytest.raises(SystemExit) as stopped:
    module.main(_ARGUMENTS.get(name, []))
  assert stopped.value.code == 2
  assert "needs a Hopper GPU" in capsys.readouterr().err


def test_a_table_has_a_place_of_its_own():
  given = command.parser("dense", num_tests=3).parse_args([])
  assert (given.num_tests, given.output, given.commit) == (3, None, None)
  given = command.parser("sweep", writes_table=True).parse_args([])
  assert vars(given) == {"commit": None}


def _record(path, rows, line=None):
  words = ["--output", str(path), "--commit", "c0ffee", "--num-tests", "3"]
  given = command.parser("dense", num_tests=30).parse_args(words)
  return command.record(given, "dense", "a clock", rows, line, ranks=2)


def test_rows_are_written_and_printed_as_they_come(tmp_path, capsys):
  path = tmp_path / "rows.json"

  def rows():
    yield {"us": 1}
    # Before the second is timed.
    assert results.read(path)["rows"] == [{"us": 1}]
    assert capsys.readouterr().out == "1 us\n"
    yield {"us": 2}

  found = _record(path, rows(), lambda row: f"{row['us']} us")
  assert found == [{"us": 1}, {"us": 2}]
  assert capsys.readouterr().out == f"2 us\nwritten to {path}\n"
  document = results.read(path)
  assert document["rows"] == found
  fields = ("commit", "method", "num_tests", "ranks")
  assert [document[name] for name in fields] == ["c0ffee", "a clock", 3, 2]


def test_without_a_row_nothing_is_written(tmp_path, capsys):
  path = tmp_path / "rows.json"
  assert _record(path, iter(())) == []
  assert "nothing is written" in capsys.readouterr().out
  assert not path.exists()
