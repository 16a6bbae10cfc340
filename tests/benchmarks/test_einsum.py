"""The einsum benchmark: what it times is what it says."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import einsum, einsum_cases, einsum_sweep, kernel_programs
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.testing import BenchResult, Samples, calc_diff

SMALL = {"b": 140, "h": 2, "r": 128, "d": 128, "m": 8, "n": 12, "k": 16}


def _kinds():
  """One case of each kind, small."""
  kinds = {(case.expr, case.dtype): case for case in einsum_cases.cases()}
  return [
    dataclasses.replace(
      case,
      sizes=json.dumps({x: SMALL[x] for x in json.loads(case.sizes)}),
    )
    for case in kinds.values()
  ]


@pytest.mark.parametrize("case", _kinds(), ids=lambda c: f"{c.dtype}-{c.expr}")
def test_what_is_timed_is_the_einsum(case):
  found = einsum_cases.compute(case, *einsum_cases.operands(case))
  plain = dataclasses.replace(case, dtype="bf16")
  # The CPU has not every dot of bfloat16 operands.
  arrays = [x.astype(jnp.float32) for x in einsum_cases.operands(plain)]
  expected = einsum_cases.xla_einsum(plain, *arrays)
  assert found.dtype == expected.dtype == case.out_dtype
  assert calc_diff(found, expected) < (1e-5 if case.dtype == "bf16" else 1e-3)


def test_cases_of_deepgemm_have_their_baseline():
  with_baseline = [
    case for case in einsum_cases.cases() if einsum_cases.baseline_us(case)
  ]
  assert len(with_baseline) == 30
  assert {case.dtype for case in with_baseline} == {"bf16"}


def test_every_case_lowers_to_one_launch():
  for case in einsum_cases.cases():
    shapes = jax.eval_shape(functools.partial(einsum_cases.operands, case))
    program = jax.jit(functools.partial(einsum_cases.compute, case))
    lowered = kernel_programs.lowered_for(
      program, *shapes, device="NVIDIA H200"
    )
    assert len(kernel_programs.launches(lowered)) == 1


def test_a_row_has_rates_and_the_baseline():
  case = einsum_cases.long_k_cases()[0]
  assert case.shape("bmk") == (129, 128, 128)
  result = BenchResult(
    "profiler", Samples((20.0,)), {"sm90_x": Samples((9.0,))}
  )
  row = einsum.row_of(case, result, {})
  operands = 2 * 129 * 128 * (128 + 384)
  result_bytes = 2 * 4 * 128 * 384
  assert row["kernel_us"] == 9
  assert row["gbps"] == pytest.approx((operands + result_bytes) / 20e3, abs=0.1)
  assert row["tflops"] == pytest.approx(2 * 129 * 128**2 * 384 / 20e6, abs=0.01)
  assert "DeepGEMM 12 us" in einsum.line(row)
  assert np.dtype(jnp.float32) == case.out_dtype


def test_a_sweep_lowers_the_configurations_that_it_names():
  case = einsum_cases.long_k_cases()[0]
  shapes = jax.eval_shape(lambda: einsum_cases.operands(case)[:2])
  grids = set()
  for config in einsum_sweep.likely_configs(case, H200, 5):
    fn = jax.jit(functools.partial(einsum_sweep.run_with, config, H200))
    lowered = kernel_programs.lowered_for(fn, *shapes, device="NVIDIA H200")
    (launch,) = kernel_programs.launches(lowered)
    grids.add((launch["source"], launch["grid"][0]))
  assert len(grids) == 5
