"""The sweep of grouped GEMMs: its problems, its rows, and whose they are."""

import json

import pytest

from benchmarks import command, results, sweep, sweep_grouped
from jax_deepgemm.cli import tuning
from jax_deepgemm.heuristics import tuned, tuned_grouped
from jax_deepgemm.heuristics.device import H200, Device, device_named

_H100 = device_named("NVIDIA H100 80GB HBM3")


@pytest.mark.parametrize(
  ("family", "count"),
  [("m_grouped_fp8", 32), ("m_grouped_bf16", 25), ("k_grouped_fp8", 6)],
)
def test_problems_are_those_of_the_benchmark_each_once(family, count):
  tasks = sweep_grouped.tasks(family)
  assert len({task.name for task in tasks}) == len(tasks) == count
  assert {task.family.name for task in tasks} == {f"{family}_gemm"}
  four = sweep_grouped.tasks(family, 4)
  assert 0 < len(four) < count
  assert {task.problem.num_groups for task in four} == {4}


def _run(monkeypatch, tmp_path, device, *options):
  (tmp_path / "tables").mkdir(exist_ok=True)
  for measured_class in ("", "_h100"):
    path = tmp_path / "tables" / f"tuned_sm90_grouped{measured_class}.json"
    path.write_text('{"about": "x", "configs": {}}')
  monkeypatch.setattr(sweep, "_TABLES", tmp_path / "tables")
  monkeypatch.setattr(results, "RESULTS", tmp_path)
  monkeypatch.setattr(command, "process_device", lambda: device)

  def slow_first(task, keys, num_tests):
    del task, num_tests
    return [10.0, *(5.0 + i for i in range(1, len(keys)))]

  monkeypatch.setattr(sweep_grouped, "GpuTimer", lambda device: slow_first)
  arguments = ["k_grouped_fp8", "--only-groups", "4", "--configs", "3"]
  assert sweep_grouped.main([*arguments, *options]) == 0


@pytest.mark.parametrize(
  ("device", "suffix"), [(H200, ""), (_H100, "_h100")], ids=["h200", "h100"]
)
def test_an_entry_is_found_by_the_heuristics_of_its_class(
  monkeypatch, tmp_path, device, suffix
):
  tasks = sweep_grouped.tasks("k_grouped_fp8", 4)
  without = {task.name: tuning.candidates(task, device, 1)[0] for task in tasks}
  _run(monkeypatch, tmp_path, device, "--write-table")
  rows = results.read(tmp_path / f"sweep_k_grouped_fp8{suffix}.json")["rows"]
  file = f"tuned_sm90_grouped{suffix}.json"
  document = json.loads((tmp_path / "tables" / file).read_text())
  assert len(rows) == len(document["configs"]) == len(tasks) == 2
  table = {name: tuple(key) for name, key in document["configs"].items()}
  monkeypatch.setattr(tuned, "table", {file: table}.__getitem__)
  for task in tasks:
    choice = task.family.key_of(task.family.choose(task.problem, device))
    name = tuned_grouped.package_name(task.family.name, task.name)
    assert choice == table[name]
    assert choice != without[task.name]
  other = "tuned_sm90_grouped" + ("" if suffix else "_h100") + ".json"
  other = json.loads((tmp_path / "tables" / other).read_text())
  assert other["configs"] == {}


def test_without_the_option_no_table_is_written(monkeypatch, tmp_path):
  _run(monkeypatch, tmp_path, H200)
  file = tmp_path / "tables" / "tuned_sm90_grouped.json"
  assert json.loads(file.read_text())["configs"] == {}


def test_a_gpu_of_no_class_has_no_table():
  device = Device("NVIDIA H20", num_sms=78)
  with pytest.raises(SystemExit, match="no table for NVIDIA H20 with 78"):
    sweep.table_of(tuned.TABLE, device)
  assert sweep.result_of("a", device).name == "a_other.json"
  assert sweep.result_of("a", H200).name == "a.json"
  assert sweep.result_of("a", _H100).name == "a_h100.json"
