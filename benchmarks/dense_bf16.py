"""Times the dense BF16 GEMM and, beside it, XLA's dot, on a Hopper GPU.

python -m benchmarks.dense_bf16                    all cases, caches flushed
python -m benchmarks.dense_bf16 --only-m 128       those with m = 128
python -m benchmarks.dense_bf16 --only-layout tn   those of one layout
python -m benchmarks.dense_bf16 --sustained        back to back
"""

import argparse
import dataclasses
import functools
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import command, kernel_programs, results
from jax_deepgemm.heuristics.sm90_bf16_gemm import Bf16GemmProblem
from jax_deepgemm.testing import bench

_KERNEL = "sm90_bf16"
_METHOD = (
  "kernel time from JAX's profiler, {flush}; normal random operands;"
  " xla_dot_us is XLA's dot of the same operands in the same run, all of its"
  " kernels"
)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("dense_bf16", num_tests=30)
  parser.add_argument("--sustained", action="store_true")
  add_filters(parser)
  arguments = parser.parse_args(argv)
  command.need_hopper()
  flush = "runs back to back without flush"
  if not arguments.sustained:
    flush = "caches flushed by a write of up to 8 GB before each run"
  name = "dense_bf16_sustained" if arguments.sustained else "dense_bf16"
  timed = (
    time_problem(problem, arguments.num_tests, not arguments.sustained)
    for problem in filtered(results.bf16_problems(), arguments)
  )
  method = _METHOD.format(flush=flush)
  rows = command.record(arguments, name, method, timed, _line)
  ratios = [row["xla_dot_us"] / row["us_median"] for row in rows]
  if ratios:
    mean = statistics.geometric_mean(ratios)
    print(f"XLA's time / ours: {mean:.3f} (least {min(ratios):.3f})")
  return 0


def add_filters(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments that `filtered` reads."""
  parser.add_argument("--only-m", type=int, metavar="M")
  parser.add_argument("--only-n", type=int, metavar="N")
  parser.add_argument("--only-layout", choices=["nt", "nn", "tn"])
  parser.add_argument("--without-c", action="store_true")


def filtered(
  problems: Sequence[Bf16GemmProblem], arguments: argparse.Namespace
) -> list[Bf16GemmProblem]:
  """Returns the problems that the arguments ask for."""
  return [
    p
    for p in problems
    if arguments.only_m in (None, p.m)
    and arguments.only_n in (None, p.n)
    and arguments.only_layout in (None, layout(p))
    and not (arguments.without_c and p.with_c)
  ]


def layout(problem: Bf16GemmProblem) -> str:
  """Returns "nt", "nn", "tn" or "tt"."""
  return ("t" if problem.a_mn_major else "n") + (
    "n" if problem.b_mn_major else "t"
  )


def operands(problem: Bf16GemmProblem) -> tuple[jax.Array, ...]:
  """Returns a and b, normal random as they lie in memory, and perhaps c."""
  m, n, k = problem.m, problem.n, problem.k
  keys = jax.random.split(jax.random.key(0), 3)
  shapes = [
    (k, m) if problem.a_mn_major else (m, k),
    (k, n) if problem.b_mn_major else (n, k),
  ]
  dtypes = [jnp.bfloat16, jnp.bfloat16]
  if problem.with_c:
    shapes.append((m, n))
    dtypes.append(_out_dtype(problem))
  return tuple(
    jax.random.normal(key, shape, dtype)
    for key, shape, dtype in zip(keys, shapes, dtypes, strict=False)
  )


def _out_dtype(problem: Bf16GemmProblem) -> Any:
  return jnp.float32 if problem.float32_out else jnp.bfloat16


def program(prefix: str, problem: Bf16GemmProblem) -> Callable[..., jax.Array]:
  """Returns the jitted function of one of the two implementations."""
  function = getattr(jax_deepgemm, f"{prefix}_gemm_{layout(problem)}")
  return jax.jit(functools.partial(function, out_dtype=_out_dtype(problem)))


def time_problem(
  problem: Bf16GemmProblem, num_tests: int, flush_l2: bool = True
) -> dict[str, Any]:
  """Returns a row with the times of both."""
  arrays = operands(problem)
  ours = program("bf16", problem)
  timed = functools.partial(bench, num_tests=num_tests, flush_l2=flush_l2)
  result = timed(ours, *arrays, kernel_name=_KERNEL)
  dot = timed(program("cublaslt", problem), *arrays)
  # Without the memset of cuBLASLt's workspace and XLA's copies of c, which a
  # donated c would not need.
  times = {
    name: samples.median
    for name, samples in dot.kernels.items()
    if "Memset" not in name and "MemcpyD2D" not in name
  }
  launches = kernel_programs.launches(
    kernel_programs.lowered_for(ours, *arrays)
  )
  return results.row(
    (problem.m, problem.n, problem.k),
    result.run,
    kernel_programs.config_of(launches[0]),
    problem=dataclasses.asdict(problem),
    xla_dot_us=round(sum(times.values()), 2),
    xla_dot_kernels=sorted(times),
  )


def _line(row: dict[str, Any]) -> str:
  problem = Bf16GemmProblem(**row["problem"])
  out = "f32" if problem.float32_out else "bf16"
  text = f"{layout(problem)} {problem.m:6} x {problem.n:6} x {problem.k:6}"
  text += f" {out:4} {'c' if problem.with_c else ' '}"
  text += f" {row['us_median']:9.2f} us, {row['tflops']:6.1f} TFLOP/s;"
  text += f" XLA {row['xla_dot_us']:9.2f} us"
  return f"{text}, {row['xla_dot_us'] / row['us_median']:.3f}"


if __name__ == "__main__":
  sys.exit(main())
