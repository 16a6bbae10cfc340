"""Times the FP8 GEMM with FP4 weights beside that with FP8 weights.

python -m benchmarks.dense_fp4                m = 1, 64, 128, 4096, flushed
python -m benchmarks.dense_fp4 --only-m 64    one of them
python -m benchmarks.dense_fp4 --only-n 2112  weights with so many rows
"""

import functools
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import command, kernel_programs, results
from benchmarks.dense import gemm, operands
from benchmarks.results import Case
from jax_deepgemm.testing import bench

_KERNEL = "sm90_"
_ROWS = (1, 64, 128, 4096)
_METHOD = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run; normal random operands; fp8_us is fp8_gemm_nt of the same"
  " shape in the same run"
)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("dense_fp4", num_tests=30)
  parser.add_argument("--only-m", type=int, metavar="M")
  parser.add_argument("--only-n", type=int, metavar="N")
  arguments = parser.parse_args(argv)
  command.need_hopper()
  rows = (
    time_case(case, arguments.num_tests)
    for case in cases()
    if arguments.only_m in (None, case[0])
    and arguments.only_n in (None, case[1])
  )
  command.record(arguments, "dense_fp4", _METHOD, rows, _line)
  return 0


def cases() -> list[Case]:
  """Returns every weight of the dense cases with each number of rows."""
  weights = dict.fromkeys((n, k) for _, n, k in results.dense_cases())
  return [(m, n, k) for m in _ROWS for n, k in weights]


def time_case(case: Case, num_tests: int) -> dict[str, Any]:
  """Returns a row with the times of both."""
  x, weight = operands(case)
  a = jax_deepgemm.per_token_cast_to_fp8(x)
  fp8 = jax_deepgemm.per_block_cast_to_fp8(weight)
  fp4 = jax.jit(to_fp4)(weight)
  del x, weight
  timed = functools.partial(bench, num_tests=num_tests, kernel_name=_KERNEL)
  result = timed(fp4_gemm, a, fp4)
  launches = kernel_programs.launches(
    kernel_programs.lowered_for(fp4_gemm, a, fp4)
  )
  return results.row(
    case,
    result.run,
    kernel_programs.config_of(launches[0]),
    fp8_us=round(timed(gemm, a, fp8).run.median, 2),
  )


def to_fp4(weight: jax.Array) -> jax_deepgemm.ScaledArray:
  """Returns the form of a weight that the kernel reads."""
  return jax_deepgemm.per_token_cast_to_fp4(
    weight, use_ue8m0=True, gran_k=32, use_packed_ue8m0=True
  )


@jax.jit
def fp4_gemm(a, b):
  return jax_deepgemm.fp8_fp4_gemm_nt(a, b, out_dtype=jnp.bfloat16)


def _line(row: dict[str, Any]) -> str:
  m, n, k = results.case_of(row)
  text = f"{m:5} x {n:5} x {k:5}: {row['us_median']:8.2f} us"
  text += f" ({row['us_min']:.2f} to {row['us_max']:.2f})"
  text += f", {row['tflops']:7.2f} TFLOP/s; fp8 {row['fp8_us']:8.2f} us"
  return f"{text}, {row['fp8_us'] / row['us_median']:.3f}"


if __name__ == "__main__":
  sys.exit(main())
