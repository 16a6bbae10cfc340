"""Which GPUs share the package's measurements, and what others go by."""

import dataclasses

import pytest

from jax_deepgemm.heuristics import tuned, tuned_bf16, tuned_grouped
from jax_deepgemm.heuristics.device import (
  H200,
  KNOWN,
  Device,
  device_found,
  device_named,
)
from jax_deepgemm.heuristics.fp8_gemm import choose, estimate
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem, legal_configs
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import legal_split_configs
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  legal_swapped_configs,
)

_H100 = device_named("NVIDIA H100 80GB HBM3")
_PROBLEM = Fp8GemmProblem(4096, 2112, 7168)  # In the H200's table.
_FILES = (tuned.TABLE, tuned_bf16.TABLE, tuned_grouped.TABLE)


def test_classes_are_chips_with_one_memory():
  classes = {name: device.measured_class for name, device in KNOWN.items()}
  assert classes["NVIDIA H200"] == "h200"
  assert classes["NVIDIA H100 80GB HBM3"] == classes["NVIDIA H800"] == "h100"
  assert classes["NVIDIA H20"] is classes["NVIDIA H100 PCIe"] is None
  for device in (
    dataclasses.replace(H200, num_sms=60),
    dataclasses.replace(H200, compute_capability=(10, 0)),
    Device("NVIDIA H200 MIG 3g.71gb"),
  ):
    assert device.measured_class is None


@pytest.mark.parametrize("file_name", _FILES)
def test_every_class_has_its_tables(file_name):
  files = {tuned.file_of(file_name, device) for device in KNOWN.values()}
  assert files == {
    None,
    file_name,
    file_name.replace(".json", "_h100.json"),
  }
  for file in files - {None}:
    assert isinstance(tuned.table(file), dict)


def test_a_class_without_a_measurement_goes_by_its_own_numbers():
  assert tuned.lookup(_PROBLEM, H200) is not None
  device = Device("NVIDIA H100 NVL", memory_bandwidth=3.5e12)
  assert tuned.lookup(_PROBLEM, device) is None
  problem = Fp8GemmProblem(1, 7168, 16384)
  config = choose(problem, device)
  configs = [
    *legal_configs(problem, device),
    *legal_swapped_configs(problem, device),
    *legal_split_configs(problem, device),
  ]
  least = min(estimate(problem, other, device) for other in configs)
  assert estimate(problem, config, device) == least
  # Memory decides at one row: time goes with one over the bandwidth.
  on_h200 = estimate(problem, choose(problem, H200), H200)
  assert 1.15 < least / on_h200 < 1.3


def test_each_class_reads_its_own_table(monkeypatch):
  other = next(
    config
    for config in legal_configs(_PROBLEM, _H100)
    if tuned.key_of(config) != tuned.lookup(_PROBLEM, H200)
  )
  name = tuned.problem_name(_PROBLEM)
  tables = {
    "tuned_sm90.json": dict(tuned.table("tuned_sm90.json")),
    "tuned_sm90_h100.json": {name: tuned.key_of(other)},
  }
  monkeypatch.setattr(tuned, "table", tables.get)
  assert choose(_PROBLEM, _H100) == other
  assert choose(_PROBLEM, device_named("NVIDIA H800")) == other
  assert choose(_PROBLEM, H200) != other
  assert choose(_PROBLEM, _H100, num_sms=66) != other


def test_a_gpu_that_is_found_has_what_is_known_of_it():
  found = device_found("NVIDIA H100 80GB HBM3", (9, 0), 132)
  assert found == _H100
  assert found.memory_bandwidth == 3.0e12
  part = device_found("NVIDIA H200", (9, 0), 66)
  assert (part.num_sms, part.memory_bandwidth) == (66, H200.memory_bandwidth)
  assert device_found("new", (9, 0), 100) == Device("new", num_sms=100)
