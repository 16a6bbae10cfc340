"""Times the FP8 GEMM with swapped operands beside the kernel for many rows.

python -m benchmarks.sweep_swapped                 m = 1, 16, 64, 128
python -m benchmarks.sweep_swapped --only-m 1      one of them
python -m benchmarks.sweep_swapped --num-forms 40  more of the legal ones
python -m benchmarks.sweep_swapped --write-table   also tells the heuristics

Prints the fastest of each shape, best first, and the other kernel's time.
Writes benchmarks/results/sweep_fp8_swapped.json, on an H100 one with _h100.
"""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import command, provenance, results, sweep
from benchmarks.results import Case
from jax_deepgemm.heuristics import tuned
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.fp8_gemm_swapped_cost import (
  estimate_swapped_seconds,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
  legal_swapped_configs,
)

_METHOD = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run; normal random operands"
)
_NUM_PRINTED = 4
_NUM_WITHOUT_HINT = 4
# Fields of rows, stages and splits.
LIKENESS = ("num_math_warpgroups", "stage_k_blocks", "num_splits")
_FORM = "{num_math_warpgroups}x64 rows, {stage_k_blocks} K blocks a stage,"
_FORM += " {num_splits} splits, {ctas_per_sm} CTAs/SM, {num_stages} stages"


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("sweep_swapped", num_tests=8, writes_table=True)
  parser.add_argument("--num-forms", type=int, default=16, metavar="N")
  parser.add_argument("--only-m", type=int, metavar="M")
  parser.add_argument("--write-table", action="store_true")
  arguments = parser.parse_args(argv)
  device = command.need_hopper()
  candidates = {
    case: [
      present(sweep.problem_of(case), device),
      *swapped(sweep.problem_of(case), device, arguments.num_forms),
    ]
    for case in cases(arguments.only_m)
  }
  sweep.compile_all(
    sweep.recipe_of(c) for configs in candidates.values() for c in configs
  )
  rows = []
  for case, configs in candidates.items():
    timed = sweep.time_case(
      case, configs, device, arguments.num_tests, pause_seconds=0
    )
    print_case(sweep.problem_of(case), timed, device)
    rows += timed
  fields = provenance.collect(_METHOD, arguments.commit)
  path = sweep.result_of("sweep_fp8_swapped", device)
  results.write(path, fields, rows)
  if arguments.write_table:
    table = sweep.table_of(tuned.TABLE, device)
    sweep.write_table(rows, table, sweep.name_of)
  return 0


def cases(only_m: int | None) -> list[Case]:
  """Returns the weights of the dense benchmark with few rows."""
  weights = [case[1:] for case in results.dense_cases() if case[0] == 1]
  sizes = (1, 16, 64, 128) if only_m is None else (only_m,)
  return [(m, *weight) for m in sizes for weight in weights]


def present(problem: Fp8GemmProblem, device: Device) -> Sm90Fp8GemmConfig:
  """Returns what the kernel for many rows would run."""
  configs = list(legal_configs(problem, device))
  key = tuned.lookup(problem, device)
  fastest = [config for config in configs if tuned.key_of(config) == key]
  return min(
    fastest or configs, key=lambda c: estimate_seconds(problem, c, device)
  )


def swapped(
  problem: Fp8GemmProblem, device: Device, count: int
) -> list[Sm90Fp8GemmSwappedConfig]:
  """Returns `count` forms, the cheapest in the cost model's eyes but not alike.

  At most two share rows, stages and splits, on which the model is least sure.
  The first are there without a hint to L2 too, of which it knows nothing.
  """
  forms = [c for c in legal_swapped_configs(problem, device) if c.evict_first]
  forms.sort(key=lambda c: estimate_swapped_seconds(problem, c, device))
  chosen = sweep.few_alike(forms, *LIKENESS)[:count]
  return chosen + sweep.without_hint(chosen[:_NUM_WITHOUT_HINT])


def print_case(
  problem: Fp8GemmProblem, rows: Sequence[dict[str, Any]], device: Device
) -> None:
  fast = [row for row in rows if row["key"][0] == "swapped"]
  (other,) = [row for row in rows if row["key"][0] != "swapped"]
  floor = problem.n * problem.k / device.memory_bandwidth * 1e6
  print(
    f"{tuned.problem_name(problem)}: {other['us_median']:.2f} us with the"
    f" kernel for many rows, {floor:.1f} us to read B"
  )
  for row in fast[:_NUM_PRINTED]:
    config = Sm90Fp8GemmSwappedConfig(**row["config"])
    hint = ", evict first" if config.evict_first else ""
    estimate = estimate_swapped_seconds(problem, config, device) * 1e6
    print(
      f"  {row['us_median']:6.2f} us (estimate {estimate:.2f}):"
      f" {_FORM.format(**row['config'])}{hint}",
      flush=True,
    )


if __name__ == "__main__":
  sys.exit(main())
