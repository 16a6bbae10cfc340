"""What all commands that time something on a GPU say without one."""

import dataclasses
import importlib
import pathlib

import pytest

from benchmarks import command
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
