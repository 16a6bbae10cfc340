"""Times many BF16 configurations per case and writes the table of the fastest.

python -m benchmarks.sweep_bf16 --without-c --only-m 4096 --num-forms 12

Writes benchmarks/results/sweep_bf16.json, which a cost model can be fitted to,
and jax_deepgemm/heuristics/tuned_sm90_bf16.json, which the heuristics read. On
an H100 both have a name of their own, ending in _h100.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import dense_bf16, provenance, results, sweep
from jax_deepgemm.heuristics import tuned_bf16
from jax_deepgemm.heuristics.bf16_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  legal_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, sm90_bf16_gemm
from jax_deepgemm.primitives.target import process_device
from jax_deepgemm.testing.kernel_times import profile_times


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep_bf16")
  parser.add_argument("--num-forms", type=int, default=16, metavar="N")
  parser.add_argument("--num-tests", type=int, default=12, metavar="N")
  dense_bf16.add_filters(parser)
  parser.add_argument("--commit", help="of the code, where git is not there")
  arguments = parser.parse_args(argv)
  device = process_device()
  if device is None or not device.is_hopper:
    print("error: this needs a Hopper GPU", file=sys.stderr)
    return 2
  table = sweep.table_of(tuned_bf16.TABLE, device)
  candidates = {
    problem: candidates_of(problem, device, arguments.num_forms)
    for problem in dense_bf16.filtered(results.bf16_problems(), arguments)
  }
  sweep.compile_all(
    sm90_bf16_gemm.recipe(config)
    for configs in candidates.values()
    for config in configs
  )
  fields = provenance.collect(sweep.METHOD, arguments.commit)
  rows = []
  for problem, configs in candidates.items():
    rows += time_problem(problem, configs, device, arguments.num_tests)
    results.write(sweep.result_of("sweep_bf16", device), fields, rows)
  sweep.write_table(rows, table, _name_of)
  return 0


def candidates_of(
  problem: Bf16GemmProblem, device: Device, count: int
) -> list[Sm90Bf16GemmConfig]:
  """Returns the `count` configurations with the least estimates.

  Of those that differ in staging buffers alone, the one of least estimate.
  """
  configs = sorted(
    legal_configs(problem, device),
    key=lambda config: estimate_seconds(problem, config, device),
  )
  forms: dict[Any, Sm90Bf16GemmConfig] = {}
  for config in configs:
    form = dataclasses.replace(config, num_stages=0, num_store_slots=0)
    forms.setdefault(form, config)
  return list(forms.values())[:count]


def time_problem(
  problem: Bf16GemmProblem,
  configs: Sequence[Sm90Bf16GemmConfig],
  device: Device,
  num_tests: int,
) -> list[dict[str, Any]]:
  """Returns one row a configuration, the fastest first."""
  arrays = [x[None] for x in dense_bf16.operands(problem)]
  programs = [program(problem, config, device) for config in configs]
  for run in programs:
    jax.block_until_ready(run(*arrays))
  times = profile_times(programs, arrays, num_tests)
  rows = [
    {
      "case": {"m": problem.m, "n": problem.n, "k": problem.k},
      "problem": dataclasses.asdict(problem),
      **sweep.timed(runs),
      "key": list(tuned_bf16.key_of(config)),
      "config": dataclasses.asdict(config),
    }
    for config, runs in zip(configs, times, strict=True)
  ]
  rows.sort(key=lambda row: row["us_median"])
  best = rows[0]
  print(f"{_name_of(best)}: {best['us_median']:.2f} us with {best['key']}")
  return rows


def program(
  problem: Bf16GemmProblem, config: Sm90Bf16GemmConfig, device: Device
) -> Callable[..., jax.Array]:
  """Returns a jitted launch of `config` over operands in the kernel's form."""
  call = sm90_bf16_gemm.kernel_call(problem, config, device, Options())
  dtype = jnp.float32 if problem.float32_out else jnp.bfloat16
  result = jax.ShapeDtypeStruct((1, problem.m, problem.n), dtype)
  aliases = {2: 0} if problem.with_c else {}
  return jax.jit(lambda *x: launch.call((call,), x, [result], aliases)[0])


def _name_of(row: dict[str, Any]) -> str:
  return tuned_bf16.problem_name(Bf16GemmProblem(**row["problem"]))


if __name__ == "__main__":
  sys.exit(main())
