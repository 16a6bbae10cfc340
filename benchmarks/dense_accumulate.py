"""Times float32 accumulation, c + a b^T with scales 1 x 128 on both sides.

python -m benchmarks.dense_accumulate

The cases are the weight gradients of DeepGEMM's tests.
"""

import statistics
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import (
  command,
  compare,
  dense,
  kernel_programs,
  results,
)
from benchmarks.results import Case
from jax_deepgemm.testing import bench

NAME = "dense_fp8_accumulate"
METHOD = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run; normal random operands, float32 c added to"
)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("dense_accumulate", num_tests=30)
  arguments = parser.parse_args(argv)
  command.need_hopper()
  timed = (time_case(case, arguments.num_tests) for case in cases())
  rows = command.record(arguments, NAME, METHOD, timed, line)
  print(f"geometric mean of DeepGEMM's time over ours: {mean_ratio(rows):.3f}")
  return 0


def cases() -> list[Case]:
  """Returns (m, n, k) of each case."""
  document = results.read(results.CASES / f"{NAME}.json")
  return [results.case_of(row) for row in document["rows"]]


def mean_ratio(rows: Sequence[dict[str, Any]]) -> float:
  """Returns the geometric mean of DeepGEMM's times over those of `rows`."""
  baseline = results.read(results.ACCUMULATE_BASELINE)["rows"]
  both, _, _ = compare.compare(rows, baseline)
  return statistics.geometric_mean(item.ratio for item in both)


def time_case(case: Case, num_tests: int) -> dict[str, Any]:
  """Returns the row of a case; c is copied first, which is not counted."""
  a, b = (jax_deepgemm.per_token_cast_to_fp8(x) for x in dense.operands(case))
  c = jax.random.normal(jax.random.key(1), case[:2], jnp.float32)
  time = bench(gemm, a, b, c, num_tests=num_tests, kernel_name="sm90_")
  launches = kernel_programs.launches(
    kernel_programs.lowered_for(gemm, a, b, c)
  )
  return results.row(case, time.run, kernel_programs.config_of(launches[0]))


@jax.jit
def gemm(a, b, c):
  return jax_deepgemm.fp8_gemm_nt(a, b, c, recipe=(1, 1, 128))


def line(row: dict[str, Any]) -> str:
  m, n, k = results.case_of(row)
  return (
    f"{m:5} x {n:5} x {k:5}: {row['us_median']:8.2f} us"
    f" ({row['us_min']:.2f} to {row['us_max']:.2f}),"
    f" {row['tflops']:7.2f} TFLOP/s"
  )


if __name__ == "__main__":
  sys.exit(main())
