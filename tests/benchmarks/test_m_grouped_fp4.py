"""The benchmark of groups with FP4 weights: cases, and what is timed."""

import dataclasses

import jax
import numpy as np
import pytest

import jax_deepgemm
from benchmarks import kernel_programs, m_grouped_fp4
from jax_deepgemm.heuristics.device import H200

_CASE = m_grouped_fp4.Case(3, 20, 40, 256)


def test_each_weight_is_timed_with_each_number_of_rows():
  cases = m_grouped_fp4.cases()
  assert len(set(cases)) == len(cases) == 3 * 2 * 4
  assert {case.num_groups for case in cases} == {6, 32}
  for case in cases:
    assert all(0.6 * case.m <= size <= 1.35 * case.m for size in case.sizes)


def test_the_choice_goes_first_and_the_other_kernel_second():
  problem = m_grouped_fp4.Case(32, 20, 6144, 7168).problem
  two = m_grouped_fp4.forms(problem, H200, 0)
  assert [hasattr(form, "mma_groups") for form in two] == [True, False]
  more = m_grouped_fp4.forms(problem, H200, 6)
  assert more[:2] == two
  assert 6 <= len(set(more)) == len(more) <= 8


@pytest.mark.parametrize("form", [0, 1])
def test_what_is_timed_is_what_the_public_function_launches(form):
  case = _CASE
  config = m_grouped_fp4.forms(case.problem, H200, 0)[form]
  a, fp8, fp4, sizes = m_grouped_fp4.operands(case)
  inputs = m_grouped_fp4.for_the_kernel(a, fp4, sizes)
  assert [x.shape for x in inputs[2:4]] == [(3, 40, 128), (3, 40, 2)]

  @jax.jit
  def product(a, b, sizes):
    return jax_deepgemm.m_grouped_fp8_fp4_gemm_nt_masked(
      a, b, sizes, expected_m=case.m
    )

  with jax_deepgemm.options(batch_invariant=form == 1):
    (wanted,) = kernel_programs.launches(
      kernel_programs.lowered_for(product, a, fp4, sizes, device="NVIDIA H200")
    )
  program = m_grouped_fp4.program(case.problem, config, H200)
  (timed,) = kernel_programs.launches(
    kernel_programs.lowered_for(program, *inputs, device="NVIDIA H200")
  )
  assert timed["source"] == wanted["source"]
  assert timed["grid"] == wanted["grid"]
  d = m_grouped_fp4.fp8_product(case)(a, fp8, sizes)
  assert d.shape == (3, 128, 40)
  assert np.isfinite(np.asarray(d, np.float32)).all()


def test_a_case_is_printed_beside_the_floor_and_fp8(capsys):
  configs = m_grouped_fp4.forms(_CASE.problem, H200, 0)
  rows = [
    {
      "case": _CASE._asdict(),
      "us_median": 10.0 + i,
      "estimate_us": 9.0,
      "floor_us": 7.0,
      "fp8_us": 11.0,
      "chosen": i == 0,
      "config": dataclasses.asdict(config),
    }
    for i, config in enumerate(configs)
  ]
  m_grouped_fp4.print_case(rows)
  head, first, second = capsys.readouterr().out.splitlines()
  assert "floor 7.0 us, FP8 weights 11.00 us" in head
  assert first.split()[:2] == ["chosen", "10.00"]
  assert "for many rows" in second
