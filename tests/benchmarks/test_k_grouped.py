"""The K-grouped benchmark: its cases, its baseline, its operands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import k_grouped, kernel_programs, results
from benchmarks.results import KGroupedCase
from jax_deepgemm.testing import Samples


def test_every_case_has_a_baseline_that_agrees_with_its_own_speed():
  cases = results.k_grouped_cases()
  assert len(cases) == 6
  rows = results.read(results.K_GROUPED_BASELINE)["rows"]
  for row in rows:
    case = row["case"]
    tflops = 2 * case["m"] * case["n"] * case["k"] / row["us_median"] / 1e6
    assert tflops == pytest.approx(row["tflops"], rel=0.002)
  found = {k_grouped.baseline_tflops(case) for case in cases}
  assert found == {row["tflops"] for row in rows}
  with pytest.raises(ValueError, match="the baseline has no"):
    k_grouped.baseline_tflops(KGroupedCase(1, 1, (1,)))


def test_padding_counts_as_deepgemm_counts_it():
  case = KGroupedCase(3, 4, (130, 0, 128))
  assert case.k == 384
  assert case.k_padded == (3 + 3) * 128


def test_a_row_is_compared_by_speed():
  case = results.k_grouped_cases()[0]
  row = k_grouped.row_of(case, Samples((1500.0,)), {"block_n": 128})
  tflops = 2 * case.m * case.n * case.k / 1500e-6 / 1e12
  assert row["tflops"] == pytest.approx(tflops, rel=1e-4)
  assert row["ratio"] == pytest.approx(tflops / 1022, rel=1e-3)
  assert "1500.00 us" in k_grouped.line(row)


def test_what_is_timed_is_the_product_of_each_group():
  case = KGroupedCase(8, 12, (130, 0, 20))
  arguments = k_grouped.operands(case, with_c=True)
  x, y, _ = (np.asarray(x, np.float64) for x in k_grouped.tokens(case))
  d = k_grouped.gemm(*arguments)
  exact = np.asarray(arguments[-1], np.float64)
  exact[0] += x[:130].T @ y[:130]
  exact[2] += x[130:].T @ y[130:]
  assert np.linalg.norm(d - exact) < 0.05 * np.linalg.norm(exact)
  arguments = k_grouped.operands(case, with_c=False)
  tokens = k_grouped.tokens(case)
  np.testing.assert_allclose(
    k_grouped.gemm(*arguments), k_grouped.cast_and_gemm(*tokens), rtol=1e-6
  )


def test_a_sweep_lowers_each_of_its_configurations():
  case = results.k_grouped_cases()[0]
  configs = k_grouped.likely_configs(case, with_c=True)
  assert 8 <= len(configs) <= 40
  k = case.k_padded
  shapes = [((case.m, k), jnp.float8_e4m3fn), ((k // 128, case.m), jnp.float32)]
  shapes += [((case.n, k), jnp.float8_e4m3fn)]
  shapes += [((k // 128, case.n), jnp.float32), ((4,), jnp.int32)]
  shapes += [((4, case.m, case.n), jnp.float32)]
  arguments = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
  seen = set()
  for config in configs:
    fn = jax.jit(lambda *x, config=config: k_grouped._run_with(config, *x))
    lowered = kernel_programs.lowered_for(fn, *arguments, device="NVIDIA H200")
    (launch,) = kernel_programs.launches(lowered)
    seen.add(launch["source"])
  assert len(seen) == len(configs)
