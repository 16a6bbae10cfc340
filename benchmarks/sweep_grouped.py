"""Finds the fastest configurations of grouped GEMMs, as `tune` does.

python -m benchmarks.sweep_grouped m_grouped_fp8                 all cases
python -m benchmarks.sweep_grouped k_grouped_fp8 --configs 16    fewer tiles
python -m benchmarks.sweep_grouped m_grouped_bf16 --write-table  tells the
                                                                 heuristics

Writes benchmarks/results/sweep_<family>.json, and for --write-table
jax_deepgemm/heuristics/tuned_sm90_grouped.json. On an H100 both have a name of
their own, ending in _h100.
"""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import command, m_grouped_cases, provenance, results, sweep
from jax_deepgemm.cli import tuning_shapes
from jax_deepgemm.cli.tuning import Outcome, Task, tune
from jax_deepgemm.cli.tuning_timer import GpuTimer
from jax_deepgemm.heuristics import tuned_grouped

_FAMILIES = ("m_grouped_fp8", "m_grouped_bf16", "k_grouped_fp8")


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("sweep_grouped", writes_table=True)
  parser.add_argument("family", choices=_FAMILIES)
  parser.add_argument("--only-groups", type=int, metavar="G")
  parser.add_argument("--configs", type=int, default=24, metavar="N")
  parser.add_argument("--write-table", action="store_true")
  arguments = parser.parse_args(argv)
  device = command.need_hopper()
  timer = GpuTimer(device)
  fields = provenance.collect(sweep.METHOD, arguments.commit)
  path = sweep.result_of(f"sweep_{arguments.family}", device)
  rows: list[dict[str, Any]] = []
  for task in tasks(arguments.family, arguments.only_groups):
    outcome = tune(task, device, arguments.configs, timer)
    rows.append(row_of(task, outcome))
    print(line(rows[-1]), flush=True)
    results.write(path, fields, rows)  # Each time: a run may be cut off.
    if arguments.write_table:
      table = sweep.table_of(tuned_grouped.TABLE, device)
      sweep.write_table(rows, table, lambda row: row["name"])
  return 0


def tasks(family: str, only_groups: int | None = None) -> list[Task]:
  """Returns the cases of a family's benchmark, those that share an entry once.

  Args:
    family: one of `_FAMILIES`.
    only_groups: those with so many groups alone.
  """
  every = _k_grouped() if family == "k_grouped_fp8" else _m_grouped(family)
  return [
    task
    for task in {task.name: task for task in every}.values()
    if only_groups in (None, task.problem.num_groups)
  ]


def _m_grouped(family: str) -> list[Task]:
  found = []
  for kind in m_grouped_cases.KINDS:
    for case in m_grouped_cases.cases(kind):
      sizes = (case.n, case.k, len(case.sizes), case.problem.expected_m)
      if family == "m_grouped_fp8":
        ragged = kind == "ragged"
        found.append(tuning_shapes.m_grouped_fp8(*sizes, ragged=ragged))
      else:
        found.append(tuning_shapes.m_grouped_bf16(*sizes))
  return found


def _k_grouped() -> list[Task]:
  return [
    tuning_shapes.k_grouped_fp8(
      case.m, case.n, sum(case.sizes), len(case.sizes), with_c=True
    )
    for case in results.k_grouped_cases()
  ]


def row_of(task: Task, outcome: Outcome) -> dict[str, Any]:
  """Returns a row of results; name and key are those of the table."""
  return {
    "name": tuned_grouped.package_name(task.family.name, task.name),
    "us_median": round(outcome.us, 2),
    "default_us": round(outcome.default_us, 2),
    "key": list(outcome.key),
    "default_key": list(outcome.default_key),
    "num_timed": outcome.num_timed,
  }


def line(row: dict[str, Any]) -> str:
  """Returns a row as text."""
  return (
    f"{row['name']}: {row['us_median']:.2f} us with {row['key']},"
    f" {row['default_us']:.2f} us with the default {row['default_key']}"
  )


if __name__ == "__main__":
  sys.exit(main())
