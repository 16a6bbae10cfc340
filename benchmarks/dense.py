"""Times the dense FP8 GEMM over the cases of DeepGEMM's tests, on a Hopper GPU.

python -m benchmarks.dense               kernel time, caches flushed
python -m benchmarks.dense --sustained   kernel time, back to back
python -m benchmarks.dense --end-to-end  cast and GEMM in one jit; bf16 dot
python -m benchmarks.dense --yardstick   as the first, beside XLA's FP8 dot
"""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

import jax_deepgemm
from benchmarks import command, kernel_programs, results
from benchmarks.results import Case
from jax_deepgemm.testing import bench

_KERNEL = "sm90_"
_NT = (((1,), (1,)), ((), ()))  # What lax.dot_general contracts in a b^T.
_FLUSHED = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run; normal random operands"
)
_METHODS = {
  "dense_fp8": _FLUSHED,
  "dense_fp8_sustained": (
    "kernel time from JAX's profiler, runs back to back without flush; normal"
    " random operands"
  ),
  "dense_fp8_yardstick": (
    f"{_FLUSHED}; xla_fp8_dot_us is XLA's dot of the same FP8 operands without"
    " scales or fast accumulation"
  ),
  "dense_end_to_end": (
    "from the first kernel's start to the last one's end, from JAX's profiler,"
    " caches flushed by a write of up to 8 GB before each run: cast of the"
    " bfloat16 activations and GEMM with a quantised weight in one jit;"
    " bf16_dot_us is XLA's dot of the bfloat16 operands"
  ),
}


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("dense", num_tests=30)
  mode = parser.add_mutually_exclusive_group()
  mode.add_argument("--sustained", action="store_true")
  mode.add_argument("--end-to-end", action="store_true")
  mode.add_argument("--yardstick", action="store_true")
  parser.add_argument("--only-m", type=int, metavar="M")
  arguments = parser.parse_args(argv)
  command.need_hopper()
  name, time_case = _mode(arguments)
  rows = (
    time_case(case, arguments.num_tests)
    for case in results.dense_cases()
    if arguments.only_m in (None, case[0])
  )
  command.record(arguments, name, _METHODS[name], rows, _line)
  return 0


def _mode(
  arguments: argparse.Namespace,
) -> tuple[str, Callable[[Case, int], dict[str, Any]]]:
  if arguments.end_to_end:
    return "dense_end_to_end", _time_end_to_end
  if arguments.sustained:
    return "dense_fp8_sustained", functools.partial(
      _time_kernel, flush_l2=False
    )
  if arguments.yardstick:
    return "dense_fp8_yardstick", functools.partial(
      _time_kernel, yardstick=True
    )
  return "dense_fp8", _time_kernel


def _time_kernel(
  case: Case, num_tests: int, *, flush_l2: bool = True, yardstick: bool = False
) -> dict[str, Any]:
  x, weight = operands(case)
  a = jax_deepgemm.per_token_cast_to_fp8(x)
  b = jax_deepgemm.per_block_cast_to_fp8(weight)
  del x, weight
  result = bench(
    gemm,
    a,
    b,
    num_tests=num_tests,
    flush_l2=flush_l2,
    kernel_name=_KERNEL,
  )
  row = results.row(case, result.run, kernel_programs.first_config(gemm, a, b))
  if yardstick and case[0] >= 16:  # Below, XLA has no cuBLASLt kernel for FP8.
    dot = bench(fp8_dot, a[0], b[0], num_tests=num_tests, flush_l2=flush_l2)
    # Without the memset of cuBLASLt's workspace, as in DeepGEMM's benchmark.
    kernels = {k: v for k, v in dot.kernels.items() if "Memset" not in k}
    times = [samples.median for samples in kernels.values()]
    row["xla_fp8_dot_us"] = round(sum(times), 2)
    row["xla_fp8_dot_kernels"] = sorted(kernels)
  return row


def _time_end_to_end(case: Case, num_tests: int) -> dict[str, Any]:
  x, weight = operands(case)
  b = jax_deepgemm.per_block_cast_to_fp8(weight)
  both = bench(cast_and_gemm, x, b, num_tests=num_tests)
  dot = bench(bf16_dot, x, weight, num_tests=num_tests)
  return results.row(
    case,
    both.run,
    kernel_programs.first_config(cast_and_gemm, x, b),
    bf16_dot_us=round(dot.run.median, 2),
  )


def operands(case: Case) -> tuple[jax.Array, jax.Array]:
  """Returns normal random `[m, k]` and `[n, k]` bfloat16."""
  m, n, k = case
  x_key, weight_key = jax.random.split(jax.random.key(0))
  return (
    jax.random.normal(x_key, (m, k), jnp.bfloat16),
    jax.random.normal(weight_key, (n, k), jnp.bfloat16),
  )


@jax.jit
def gemm(a, b):
  return jax_deepgemm.fp8_gemm_nt(a, b)


@jax.jit
def cast_and_gemm(x, b):
  return jax_deepgemm.fp8_gemm_nt(jax_deepgemm.per_token_cast_to_fp8(x), b)


@jax.jit
def fp8_dot(a, b):
  """Returns a b^T as cuBLASLt computes it.

  The precision turns fast accumulation off, as DeepGEMM's benchmark does: with
  it cuBLASLt sums all of k in the 14 bits of the tensor cores.
  """
  return lax.dot_general(
    a,
    b,
    _NT,
    precision=lax.Precision.HIGHEST,
    preferred_element_type=jnp.bfloat16,
  )


@jax.jit
def bf16_dot(x, weight):
  return lax.dot_general(x, weight, _NT)


def _line(row: dict[str, Any]) -> str:
  m, n, k = results.case_of(row)
  text = f"{m:5} x {n:5} x {k:5}: {row['us_median']:8.2f} us"
  text += f" ({row['us_min']:.2f} to {row['us_max']:.2f})"
  text += f", {row['tflops']:7.2f} TFLOP/s"
  for name in ("bf16_dot", "xla_fp8_dot"):
    if f"{name}_us" in row:
      text += f"; {name} {row[f'{name}_us']:8.2f} us"
  return text


if __name__ == "__main__":
  sys.exit(main())
