"""What the benchmark of tf32_hc_prenorm_gemm times and says."""

import dataclasses

import pytest

from benchmarks import hyperconnection, kernel_programs
from benchmarks.hyperconnection import HcCase
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.hc_prenorm_gemm import choose
from jax_deepgemm.testing import Samples


def test_every_case_has_a_time_of_deepgemm():
  cases = hyperconnection.cases()
  assert len(cases) == 24
  assert set(cases) == set(hyperconnection.baseline_us())


def test_a_row_compares_with_the_floor():
  case = HcCase(4096, 24, 28672, None)
  row = hyperconnection.row_of(case, Samples((60.0, 61.0, 62.0)), {})
  assert row["floor_us"] == pytest.approx(4096 * 28672 * 2 / 4.3e6, abs=0.01)
  assert row["share"] == pytest.approx(54.62 / 61, abs=1e-3)
  assert row["deepgemm_us"] == 109
  assert "61.00 us (60.00 to 62.00),  89.5%" in hyperconnection.line(row)
  other = hyperconnection.row_of(HcCase(1, 1, 64, 2), Samples((5.0,)), {})
  assert "DeepGEMM" not in hyperconnection.line(other)


@pytest.mark.parametrize("num_splits", [None, 16])
def test_a_sweep_lowers_each_of_its_configurations(num_splits):
  case = HcCase(137, 24, 7168, num_splits)
  configs = hyperconnection.likely_configs(case.problem, H200, 10)
  assert configs[0] == choose(case.problem, H200)
  assert len({config.num_splits for config in configs}) == 5
  arrays = [x[None] for x in hyperconnection.operands(case)]
  for config in configs[:2]:
    lowered = kernel_programs.lowered_for(
      hyperconnection.program_of(case.problem, config),
      *arrays,
      device="NVIDIA H200",
    )
    (found,) = kernel_programs.launches(lowered)
    fields = kernel_programs.config_of(found)
    assert fields | dataclasses.asdict(config) == fields
