"""Times the FP8 GEMMs for few rows or tiles beside the kernel for many rows.

Those with swapped operands are for up to 128 rows, those that split tiles along
K for more than 32.

python -m benchmarks.sweep_swapped                 m = 1, 16, 64, 96, 128
python -m benchmarks.sweep_swapped --only-m 256    one m, these or another
python -m benchmarks.sweep_swapped --num-forms 40  more of each kernel's forms
python -m benchmarks.sweep_swapped --write-table   also tells the heuristics

Prints the fastest of each shape, best first, and the time of the kernel for
many rows.
Writes benchmarks/results/sweep_fp8_swapped.json, on an H100 one with _h100.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks import command, provenance, results, sweep
from benchmarks.results import Case
from jax_deepgemm.heuristics import tuned
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm import estimate
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import (
  Sm90Fp8GemmSplitConfig,
  legal_split_configs,
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
_SIZES = (1, 16, 64, 96, 128)
# Fields of rows, stages and splits.
LIKENESS = ("num_math_warpgroups", "stage_k_blocks", "num_splits")
# Fields of tile and splits.
_SPLIT_LIKENESS = ("num_math_warpgroups", "block_n", "num_splits")
_FORM = "{stage_k_blocks} K blocks a stage, {num_splits} splits,"
_FORM += " {ctas_per_sm} CTAs/SM, {num_stages} stages"
_CONFIGS = {
  "swapped": Sm90Fp8GemmSwappedConfig,
  "split": Sm90Fp8GemmSplitConfig,
}


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("sweep_swapped", num_tests=8, writes_table=True)
  parser.add_argument("--num-forms", type=int, default=16, metavar="N")
  parser.add_argument("--only-m", type=int, metavar="M")
  parser.add_argument("--write-table", action="store_true")
  arguments = parser.parse_args(argv)
  device = command.need_hopper()
  candidates = {
    case: candidates_of(sweep.problem_of(case), device, arguments.num_forms)
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
  sizes = _SIZES if only_m is None else (only_m,)
  return [(m, *weight) for m in sizes for weight in weights]


def candidates_of(
  problem: Fp8GemmProblem, device: Device, count: int
) -> list[sweep.Config]:
  """Returns one form of the kernel for many rows and `count` of each other."""
  return [
    present(problem, device),
    *swapped(problem, device, count),
    *split(problem, device, count),
  ]


def present(problem: Fp8GemmProblem, device: Device) -> Sm90Fp8GemmConfig:
  """Returns what the kernel for many rows would run."""
  configs = list(legal_configs(problem, device))
  key = tuned.lookup(problem, device)
  fastest = [config for config in configs if tuned.key_of(config) == key]
  return min(fastest or configs, key=lambda c: estimate(problem, c, device))


def swapped(
  problem: Fp8GemmProblem, device: Device, count: int
) -> list[Sm90Fp8GemmSwappedConfig]:
  """Returns `count` forms with swapped operands, of 128 rows at most."""
  legal = legal_swapped_configs(problem, device)
  return _cheapest(problem, device, legal, LIKENESS, count)


def split(
  problem: Fp8GemmProblem, device: Device, count: int
) -> list[Sm90Fp8GemmSplitConfig]:
  """Returns `count` forms for few tiles, none if there are many."""
  legal = legal_split_configs(problem, device)
  return _cheapest(problem, device, legal, _SPLIT_LIKENESS, count)


def _cheapest(
  problem: Fp8GemmProblem,
  device: Device,
  legal: Iterable[Any],
  likeness: Sequence[str],
  count: int,
) -> list[Any]:
  """Returns `count` forms, the cheapest in the cost model's eyes but not alike.

  At most two share `likeness`, on which the model is least sure. The first are
  there without a hint to L2 too, of which it knows nothing.
  """
  forms = [config for config in legal if config.evict_first]
  forms.sort(key=lambda config: estimate(problem, config, device))
  chosen = sweep.few_alike(forms, *likeness)[:count]
  return chosen + sweep.without_hint(chosen[:_NUM_WITHOUT_HINT])


def print_case(
  problem: Fp8GemmProblem, rows: Sequence[dict[str, Any]], device: Device
) -> None:
  fast = [row for row in rows if row["key"][0] in _CONFIGS]
  (other,) = [row for row in rows if row["key"][0] not in _CONFIGS]
  floor = problem.n * problem.k / device.memory_bandwidth * 1e6
  print(
    f"{tuned.problem_name(problem)}: {other['us_median']:.2f} us with the"
    f" kernel for many rows, {floor:.1f} us to read B"
  )
  for row in fast[:_NUM_PRINTED]:
    kernel = row["key"][0]
    config = _CONFIGS[kernel](**row["config"])
    hint = ", evict first" if config.evict_first else ""
    print(
      f"  {row['us_median']:6.2f} us"
      f" (estimate {estimate(problem, config, device) * 1e6:.2f}): {kernel},"
      f" tile {config.block_m} x {config.block_n},"
      f" {_FORM.format(**row['config'])}{hint}",
      flush=True,
    )


if __name__ == "__main__":
  sys.exit(main())
