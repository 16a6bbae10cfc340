"""Times shapes that no table was made for, each beside a good neighbour.

python -m benchmarks.cliffs                     all pairs
python -m benchmarks.cliffs --only k_grouped    of a family
python -m benchmarks.cliffs --only Zipf         of a kind
python -m benchmarks.cliffs --fail-above 1.1    exit code 1 if one is worse

The ratio of a pair is how much longer its shape takes than its neighbour, both
measured by what they must take at least (`cliff_cases.floor_us`).
"""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import cliff_programs, command, provenance, results
from benchmarks.cliff_cases import Pair, fields, floor_us, pairs
from benchmarks.cliff_programs import Program
from benchmarks.program_times import Times
from jax_deepgemm.heuristics.device import Device

_METHOD = (
  "device time of all kernels of the jitted function, copies of operands and"
  " results included, from JAX's profiler, caches flushed by a write of up to 8"
  " GB before each run; normal random operands; kernel_us is of the package's"
  " kernels; ratio compares us / floor_us with that of the neighbour"
)
_TILE = ("num_math_warpgroups", "num_slabs", "block_m", "block_n")
_TILE += ("stage_k_blocks", "num_splits", "cluster_m", "cluster_n")


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("cliffs", num_tests=10)
  parser.add_argument("--only", default="", metavar="TEXT")
  parser.add_argument("--fail-above", type=float, metavar="RATIO")
  arguments = parser.parse_args(argv)
  found = pairs(arguments.only)
  if not found:
    parser.error(f"no pair has {arguments.only!r} in its family or note")
  device = command.need_hopper()
  path = arguments.output or results.RESULTS / "cliffs.json"
  head = provenance.collect(_METHOD, arguments.commit)
  head["num_tests"] = arguments.num_tests
  programs = cliff_programs.compiled(
    [shape for pair in found for shape in (pair.shape, pair.beside)]
  )
  times: dict[Any, Times] = {}
  rows: list[dict[str, Any]] = []
  for shape, of_shape in cliff_programs.timed(programs, arguments.num_tests):
    times[shape] = of_shape
    rows = rows_of(found, times, programs, device)
    results.write(path, head, rows)  # Each time: a run may be cut off.
  print("\n".join(line(row) for row in rows))
  print(f"written to {path}")
  worst = rows[0]["ratio"]
  return int(arguments.fail_above is not None and worst > arguments.fail_above)


def rows_of(
  found: Sequence[Pair],
  times: dict[Any, Times],
  programs: dict[Any, Program],
  device: Device,
) -> list[dict[str, Any]]:
  """Returns a row for each pair of which both are timed, the worst first."""
  rows = [
    row_of(pair, times, programs, device)
    for pair in found
    if pair.shape in times and pair.beside in times
  ]
  return sorted(rows, key=lambda row: -row["ratio"])


def row_of(
  pair: Pair,
  times: dict[Any, Times],
  programs: dict[Any, Program],
  device: Device,
) -> dict[str, Any]:
  """Returns what was measured of a pair."""
  row: dict[str, Any] = {"note": pair.note}
  shares = []
  for prefix, shape in (("", pair.shape), ("beside_", pair.beside)):
    floor = floor_us(shape, device)
    shares.append(times[shape].total / floor)
    row["beside" if prefix else "case"] = fields(shape)
    row[f"{prefix}us"] = round(times[shape].total, 2)
    row[f"{prefix}kernel_us"] = round(times[shape].kernel, 2)
    row[f"{prefix}floor_us"] = round(floor, 2)
  row["ratio"] = round(shares[0] / shares[1], 4)
  row["time_ratio"] = round(row["us"] / row["beside_us"], 4)
  row["config"] = programs[pair.shape].config
  row["beside_config"] = programs[pair.beside].config
  return row


def line(row: dict[str, Any]) -> str:
  """Returns a row as text."""
  return (
    f"{row['ratio']:6.3f}  {_shape(row['case']):44} {row['us']:8.2f} us"
    f" (kernel {row['kernel_us']:8.2f}), floor {row['floor_us']:7.2f}; beside"
    f" {_shape(row['beside'], family=False):25} {row['beside_us']:8.2f} us;"
    f" {row['note']}; {_tile(row['config'])} | {_tile(row['beside_config'])}"
  )


def _shape(case: dict[str, Any], family: bool = True) -> str:
  text = f"{case['m']}x{case['n']}x{case['k']}"
  if "groups" in case:
    text += f" {case['groups']} {case['spread']}"
  return f"{case['family']} {text}" if family else text


def _tile(config: dict[str, Any]) -> str:
  """Returns what tells configurations apart, in the order of `_TILE`."""
  return " ".join(str(config[name]) for name in _TILE if name in config)


if __name__ == "__main__":
  sys.exit(main())
