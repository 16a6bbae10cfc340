"""Times many forms of the FP8 GEMM with FP4 weights for few rows.

python -m benchmarks.sweep_fp4 --only-m 1      one number of rows: 1, 16, 32, 64
python -m benchmarks.sweep_fp4 --num-forms 40  more of the legal ones
python -m benchmarks.sweep_fp4 --write-table   also tells the heuristics

Prints the fastest of each shape, best first, the time of the kernel for many
rows, and that of FP8 weights. Writes benchmarks/results/sweep_fp4.json, on an
H100 one with _h100.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import (
  command,
  dense,
  dense_fp4,
  provenance,
  results,
  sweep,
  sweep_swapped,
)
from benchmarks.results import Case
from jax_deepgemm.heuristics import tuned_fp4
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_fp4_gemm import Config, estimate
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  Fp8Fp4GemmProblem,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.jit import Recipe
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  launch,
  sm90_fp8_fp4_gemm,
  sm90_fp8_fp4_gemm_swapped,
)
from jax_deepgemm.testing import bench
from jax_deepgemm.testing.kernel_times import profile_times

_ROWS = (1, 16, 32, 64)
_METHOD = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run; normal random operands"
)
_NUM_PRINTED = 4
_NUM_WITHOUT_HINT = 2
_FORM = "{num_math_warpgroups}x64 rows, {stage_k_blocks} K blocks a stage,"
_FORM += " {mma_groups} groups a round, {num_splits} splits,"
_FORM += " {ctas_per_sm} CTAs/SM, {num_stages} stages"


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("sweep_fp4", num_tests=8, writes_table=True)
  parser.add_argument("--num-forms", type=int, default=16, metavar="N")
  parser.add_argument("--only-m", type=int, metavar="M")
  parser.add_argument("--write-table", action="store_true")
  arguments = parser.parse_args(argv)
  device = command.need_hopper()
  problems = {
    case: Fp8Fp4GemmProblem(*case) for case in cases(arguments.only_m)
  }
  candidates = {
    case: [
      many_rows(problem, device),
      *swapped(problem, device, arguments.num_forms),
    ]
    for case, problem in problems.items()
  }
  sweep.compile_all(
    recipe_of(config) for configs in candidates.values() for config in configs
  )
  path = sweep.result_of("sweep_fp4", device)
  fields = provenance.collect(_METHOD, arguments.commit)
  rows = []
  for case, configs in candidates.items():
    rows += time_case(case, configs, device, arguments.num_tests)
    results.write(path, fields, rows)  # Each time: a run may be cut off.
  if arguments.write_table:
    table = sweep.table_of(tuned_fp4.TABLE, device)
    sweep.write_table(rows, table, name_of)
  return 0


def cases(only_m: int | None) -> list[Case]:
  """Returns the weights of the dense benchmark with few rows."""
  weights = [case[1:] for case in results.dense_cases() if case[0] == 1]
  sizes = _ROWS if only_m is None else (only_m,)
  return [(m, *weight) for m in sizes for weight in weights]


def many_rows(problem: Fp8Fp4GemmProblem, device: Device) -> Config:
  """Returns the form of least estimate of the kernel for many rows."""
  return min(
    legal_configs(problem, device),
    key=lambda config: estimate(problem, config, device),
  )


def swapped(
  problem: Fp8Fp4GemmProblem, device: Device, count: int
) -> list[Config]:
  """Returns `count` forms, the cheapest in the cost model's eyes but not alike.

  Of those with the same rows, stages and splits there are two, with different
  numbers of thread blocks on a multiprocessor. The first are there without a
  hint to L2 too, of which the model knows nothing.
  """
  forms = [c for c in legal_swapped_configs(problem, device) if c.evict_first]
  forms.sort(key=lambda config: estimate(problem, config, device))
  chosen = sweep.few_alike(forms, *sweep_swapped.LIKENESS)[:count]
  return chosen + sweep.without_hint(chosen[:_NUM_WITHOUT_HINT])


def recipe_of(config: Config) -> Recipe:
  if isinstance(config, Sm90Fp8Fp4GemmSwappedConfig):
    return sm90_fp8_fp4_gemm_swapped.recipe(config)
  return sm90_fp8_fp4_gemm.recipe(config)


def program(
  problem: Fp8Fp4GemmProblem, config: Config, device: Device
) -> Callable[..., jax.Array]:
  """Returns a jitted launch of `config` over operands in the kernel's form."""
  if isinstance(config, Sm90Fp8Fp4GemmSwappedConfig):
    call = sm90_fp8_fp4_gemm_swapped.kernel_call(problem, config, Options())
  else:
    call = sm90_fp8_fp4_gemm.kernel_call(problem, config, device, Options())
  result = jax.ShapeDtypeStruct((1, problem.m, problem.n), jnp.bfloat16)
  return jax.jit(lambda *operands: launch.call((call,), operands, [result])[0])


def time_case(
  case: Case, configs: Sequence[Config], device: Device, num_tests: int
) -> list[dict[str, Any]]:
  """Returns one row a configuration, the fastest first, and prints some."""
  problem = Fp8Fp4GemmProblem(*case)
  x, weight = dense.operands(case)
  a = jax_deepgemm.per_token_cast_to_fp8(x)
  fp4 = jax.jit(dense_fp4.to_fp4)(weight)
  fp8 = jax_deepgemm.per_block_cast_to_fp8(weight)
  sfa = jax_deepgemm.get_mn_major_tma_aligned_tensor(a[1])
  operands = [array[None] for array in (a[0], sfa, *fp4)]
  programs = [program(problem, config, device) for config in configs]
  for run in programs:
    jax.block_until_ready(run(*operands))
  times = profile_times(programs, operands, num_tests, 0)
  fp8_us = bench(dense.gemm, a, fp8, num_tests=num_tests, kernel_name="sm90_")
  rows = [
    {
      "case": dict(zip(("m", "n", "k"), case, strict=True)),
      **sweep.timed(runs),
      "estimate_us": round(estimate(problem, config, device) * 1e6, 2),
      "fp8_us": round(fp8_us.run.median, 2),
      "key": list(tuned_fp4.key_of(config)),
      "config": dataclasses.asdict(config),
    }
    for config, runs in zip(configs, times, strict=True)
  ]
  rows.sort(key=lambda row: row["us_median"])
  print_case(rows)
  return rows


def print_case(rows: Sequence[dict[str, Any]]) -> None:
  (other,) = [row for row in rows if row["key"][0] != "swapped"]
  print(
    f"{name_of(rows[0])}: {other['us_median']:.2f} us with the kernel for"
    f" many rows, {other['fp8_us']:.2f} us with FP8 weights"
  )
  fast = [row for row in rows if row["key"][0] == "swapped"]
  for row in fast[:_NUM_PRINTED]:
    hint = ", evict first" if row["config"]["evict_first"] else ""
    print(
      f"  {row['us_median']:6.2f} us (estimate {row['estimate_us']:.2f}):"
      f" {_FORM.format(**row['config'])}{hint}",
      flush=True,
    )


def name_of(row: dict[str, Any]) -> str:
  return tuned_fp4.problem_name(Fp8Fp4GemmProblem(*results.case_of(row)))


if __name__ == "__main__":
  sys.exit(main())
