"""Times tf32_hc_prenorm_gemm over the cases of DeepGEMM's tests.

python -m benchmarks.hyperconnection                  caches flushed
python -m benchmarks.hyperconnection --only-m 4096    some of the cases
python -m benchmarks.hyperconnection --sustained      back to back
python -m benchmarks.hyperconnection --sweep 16       the likeliest forms each
"""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import command, kernel_programs, results, sweep
from jax_deepgemm.heuristics.device import H200, Device
from jax_deepgemm.heuristics.hc_prenorm_gemm import estimate_seconds
from jax_deepgemm.heuristics.sm90_hc_prenorm_gemm import (
  HcPrenormProblem,
  Sm90HcPrenormGemmConfig,
  legal_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, sm90_hc_prenorm_gemm
from jax_deepgemm.testing import bench
from jax_deepgemm.testing.kernel_times import profile_times

_KERNEL = "sm90_hc_prenorm"
_BASELINE = "hc_prenorm_deepgemm_h200.json"
_BANDWIDTH = H200.memory_bandwidth
_METHOD = (
  "kernel time from JAX's profiler, {flush}; normal random operands; share is"
  f" that of reading a once at {_BANDWIDTH / 1e12} TB/s; partial results of"
  " num_splits are not summed, and without it one kernel sums them"
)
_FLUSHED = "caches flushed by a write of up to 8 GB before each run"
_SUSTAINED = "runs back to back without flush"


@dataclasses.dataclass(frozen=True)
class HcCase:
  """A product; num_splits is that of the call."""

  m: int
  n: int
  k: int
  num_splits: int | None

  @property
  def problem(self) -> HcPrenormProblem:
    return HcPrenormProblem(
      self.m, self.n, self.k, num_partials=self.num_splits or 1
    )


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("hyperconnection", num_tests=20)
  parser.add_argument("--only-m", type=int, metavar="M")
  parser.add_argument("--only-k", type=int, metavar="K")
  parser.add_argument("--reduced", action="store_true", help="no num_splits")
  parser.add_argument("--sustained", action="store_true")
  parser.add_argument("--sweep", type=int, metavar="N", help="forms of each")
  arguments = parser.parse_args(argv)
  device = command.need_hopper()
  flush = _SUSTAINED if arguments.sustained else _FLUSHED
  name = "hc_prenorm_sustained" if arguments.sustained else "hc_prenorm"
  if arguments.sweep:
    name, flush = sweep.result_of("sweep_hc_prenorm", device).stem, _FLUSHED
  wanted = filtered(cases(), arguments)
  num_tests = arguments.num_tests
  if arguments.sweep:
    rows = (
      row
      for case in wanted
      for row in sweep_case(case, arguments.sweep, device, num_tests)
    )
  else:
    flush_l2 = not arguments.sustained
    rows = (time_case(case, num_tests, flush_l2) for case in wanted)
  method = _METHOD.format(flush=flush)
  # A sweep prints what it finds.
  printed = None if arguments.sweep else line
  command.record(arguments, name, method, rows, printed)
  return 0


def cases() -> list[HcCase]:
  """Returns the cases of DeepGEMM's tests."""
  document = results.read(results.CASES / "hc_prenorm.json")
  return [HcCase(**row) for row in document["rows"]]


def filtered(
  found: Sequence[HcCase], arguments: argparse.Namespace
) -> list[HcCase]:
  """Returns the cases that the arguments ask for."""
  return [
    case
    for case in found
    if arguments.only_m in (None, case.m)
    and arguments.only_k in (None, case.k)
    and not (arguments.reduced and case.num_splits)
  ]


def operands(case: HcCase) -> tuple[jax.Array, jax.Array]:
  """Returns normal random operands."""
  key_a, key_b = jax.random.split(jax.random.key(0))
  a = jax.random.normal(key_a, (case.m, case.k), jnp.bfloat16)
  return a, jax.random.normal(key_b, (case.n, case.k), jnp.float32)


def time_case(
  case: HcCase, num_tests: int, flush_l2: bool = True
) -> dict[str, Any]:
  """Returns a row with the kernel's time and its configuration."""
  arrays = operands(case)
  program = jax.jit(
    functools.partial(
      jax_deepgemm.tf32_hc_prenorm_gemm, num_splits=case.num_splits
    )
  )
  times = bench(
    program,
    *arrays,
    num_tests=num_tests,
    flush_l2=flush_l2,
    kernel_name=_KERNEL,
  ).run
  lowered = kernel_programs.lowered_for(program, *arrays)
  (found,) = kernel_programs.launches(lowered)
  return row_of(case, times, kernel_programs.config_of(found))


def row_of(case: HcCase, times: Any, config: dict[str, Any]) -> dict[str, Any]:
  """Returns the row of a case, with what DeepGEMM takes for it."""
  floor = case.m * case.k * 2 / _BANDWIDTH * 1e6
  row = {
    "case": dataclasses.asdict(case),
    **results.times_of(times),
    "floor_us": round(floor, 2),
    "share": round(floor / times.median, 3),
  }
  baseline = baseline_us().get(case)
  return (
    row | ({"deepgemm_us": baseline} if baseline else {}) | {"config": config}
  )


@functools.cache
def baseline_us() -> dict[HcCase, float]:
  """Returns DeepGEMM's times, rounded to microseconds as it prints them."""
  path = results.BASELINE.parent / _BASELINE
  rows = results.read(path)["rows"]
  return {HcCase(**row["case"]): row["us_median"] for row in rows}


def line(row: dict[str, Any]) -> str:
  """Returns a row in words."""
  case = HcCase(**row["case"])
  text = (
    f"{case.m:5} x {case.n} x {case.k:5}, {case.num_splits or '-':>2} splits"
  )
  text += f" {row['us_median']:8.2f} us ({row['us_min']:.2f} to"
  text += f" {row['us_max']:.2f}), {row['share']:6.1%} of the bandwidth"
  if "deepgemm_us" in row:
    text += f"; DeepGEMM {row['deepgemm_us']:.0f} us"
  return text


def likely_configs(
  problem: HcPrenormProblem, device: Device, count: int
) -> list[Sm90HcPrenormGemmConfig]:
  """Returns the forms of least estimate, a few of every size of cluster."""
  found = sorted(
    legal_configs(problem, device),
    key=lambda config: estimate_seconds(problem, config, device),
  )
  sizes = sorted({config.num_splits for config in found})
  each = -(-count // len(sizes))
  kept = [
    config
    for size in sizes
    for config in [c for c in found if c.num_splits == size][:each]
  ]
  return sorted(kept, key=found.index)


def sweep_case(
  case: HcCase, count: int, device: Device, num_tests: int
) -> list[dict[str, Any]]:
  """Returns one row for each of the likeliest forms, the fastest first."""
  problem = case.problem
  configs = likely_configs(problem, device, count)
  sweep.compile_all(sm90_hc_prenorm_gemm.recipe(config) for config in configs)
  arrays = [x[None] for x in operands(case)]
  programs = [program_of(problem, config) for config in configs]
  for run in programs:
    jax.block_until_ready(run(*arrays))
  times = profile_times(programs, arrays, num_tests)
  rows = [
    {
      "case": dataclasses.asdict(case),
      **sweep.timed(runs),
      "config": dataclasses.asdict(config),
    }
    for config, runs in zip(configs, times, strict=True)
  ]
  rows.sort(key=lambda row: row["us_median"])
  first = next(
    row for row in rows if row["config"] == dataclasses.asdict(configs[0])
  )
  fields = " ".join(str(value) for value in rows[0]["config"].values())
  print(
    f"{case}: {rows[0]['us_median']:.2f} us with {fields}; chosen"
    f" {first['us_median']:.2f} us",
    flush=True,
  )
  return rows


def program_of(
  problem: HcPrenormProblem, config: Sm90HcPrenormGemmConfig
) -> Callable[..., Any]:
  """Returns a jitted launch of `config` over operands with a group."""
  call = sm90_hc_prenorm_gemm.kernel_call(problem, config, Options())
  shapes = sm90_hc_prenorm_gemm.result_shapes(problem)
  return jax.jit(lambda *x: launch.call((call,), x, shapes))


if __name__ == "__main__":
  sys.exit(main())
