"""Times the einsums of DeepGEMM's tests on a Hopper GPU, beside XLA's.

python -m benchmarks.einsum                              all cases
python -m benchmarks.einsum --dtype bf16 --expr bmk,bnk->mn
python -m benchmarks.einsum --only-b 128
"""

import functools
import sys
from collections.abc import Sequence
from typing import Any

import jax

from benchmarks import command, einsum_cases, kernel_programs
from benchmarks.einsum_cases import EinsumCase
from jax_deepgemm.testing import BenchResult, bench

_METHOD = (
  "from JAX's profiler, caches flushed by a write of up to 8 GB before each"
  " run; normal random operands. us_median is from the first kernel's start to"
  " the last one's end, copies and sums by XLA included; kernel_us is our"
  " kernel alone; xla_us is XLA's einsum of the bfloat16 operands, of bf16"
  " cases"
)
_KERNEL = "sm90_"


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("einsum", num_tests=20)
  parser.add_argument("--dtype", choices=["bf16", "fp8"])
  parser.add_argument("--expr")
  parser.add_argument("--only-b", type=int, metavar="B")
  arguments = parser.parse_args(argv)
  command.need_hopper()
  rows = (
    time_case(case, arguments.num_tests)
    for case in einsum_cases.cases()
    if arguments.dtype in (None, case.dtype)
    and arguments.expr in (None, case.expr)
    and arguments.only_b in (None, case.b)
  )
  command.record(arguments, "einsum", _METHOD, rows, line)
  return 0


def time_case(case: EinsumCase, num_tests: int) -> dict[str, Any]:
  """Returns the row of a case."""
  arrays = einsum_cases.operands(case)
  program = jax.jit(functools.partial(einsum_cases.compute, case))
  result = bench(program, *arrays, num_tests=num_tests)
  launches = kernel_programs.launches(
    kernel_programs.lowered_for(program, *arrays)
  )
  row = row_of(case, result, kernel_programs.config_of(launches[0]))
  if case.dtype == "bf16":
    xla = jax.jit(functools.partial(einsum_cases.xla_einsum, case))
    theirs = bench(xla, *arrays, num_tests=num_tests)
    row["xla_us"] = round(theirs.run.median, 2)
  return row


def row_of(
  case: EinsumCase, result: BenchResult, config: dict[str, Any]
) -> dict[str, Any]:
  """Returns times in microseconds, and rates of all of it."""
  times = {name: x.median for name, x in result.kernels.items()}
  median = result.run.median
  return {
    "expr": case.expr,
    "dtype": case.dtype,
    "sizes": case.sizes,
    "out_dtype": case.out_dtype,
    "with_c": case.with_c,
    "us_median": round(median, 2),
    "us_min": round(result.run.min, 2),
    "us_max": round(result.run.max, 2),
    "kernel_us": round(sum(t for n, t in times.items() if _KERNEL in n), 2),
    "tflops": round(2 * case.products / median / 1e6, 2),
    "gbps": round(case.num_bytes / median / 1e3, 1),
    "deepgemm_us": einsum_cases.baseline_us(case),
    "kernels": {name: round(time, 2) for name, time in times.items()},
    "config": config,
  }


def line(row: dict[str, Any]) -> str:
  """Returns a row as text."""
  text = f"{row['dtype']} {row['expr']} {row['sizes']} {row['out_dtype']}:"
  text += f" {row['us_median']:8.2f} us, kernel {row['kernel_us']:8.2f} us,"
  text += f" {row['tflops']:7.2f} TFLOP/s, {row['gbps']:7.1f} GB/s"
  if row["deepgemm_us"] is not None:
    text += f"; DeepGEMM {row['deepgemm_us']:.0f} us"
  if "xla_us" in row:
    text += f"; XLA {row['xla_us']:.2f} us"
  return text


if __name__ == "__main__":
  sys.exit(main())
