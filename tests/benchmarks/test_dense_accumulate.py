"""The benchmark of float32 accumulation: cases, baseline, program."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import dense_accumulate, kernel_programs, plot, results


def test_every_case_has_a_baseline_that_agrees_with_its_own_speed():
  rows = results.read(results.ACCUMULATE_BASELINE)["rows"]
  assert [results.case_of(row) for row in rows] == dense_accumulate.cases()
  for row in rows:
    m, n, k = results.case_of(row)
    tflops = 2 * m * n * k / row["us_median"] / 1e6
    assert tflops == pytest.approx(row["tflops"], rel=0.003)


def test_the_mean_is_of_deepgemms_time_over_ours():
  rows = results.read(results.ACCUMULATE_BASELINE)["rows"]
  twice = [row | {"us_median": row["us_median"] / 2} for row in rows]
  assert dense_accumulate.mean_ratio(twice) == pytest.approx(2)


def test_the_program_adds_to_c_in_the_kernel():
  a = jax.ShapeDtypeStruct((256, 384), jnp.float8_e4m3fn)
  scales = jax.ShapeDtypeStruct((256, 3), jnp.float32)
  c = jax.ShapeDtypeStruct((256, 256), jnp.float32)
  lowered = kernel_programs.lowered_for(
    dense_accumulate.gemm, (a, scales), (a, scales), c, device="NVIDIA H200"
  )
  (launch,) = kernel_programs.launches(lowered)
  config = kernel_programs.config_of(launch)
  assert config["sfb_per_row"]
  assert config["float32_out"]
  assert config["with_c"]


def test_what_was_not_measured_has_no_line(tmp_path):
  assert plot._accumulate_line(tmp_path) == ""
