"""Times the m-grouped GEMMs over the cases of DeepGEMM's tests.

python -m benchmarks.m_grouped                  kernel time, caches flushed
python -m benchmarks.m_grouped --dtype bf16     of BF16, beside XLA's ragged dot
python -m benchmarks.m_grouped --layout index   contiguous groups by row ids
python -m benchmarks.m_grouped --end-to-end     cast and GEMM; bf16 ragged dot
python -m benchmarks.m_grouped --sweep          the tiles of each case
"""

import argparse
import dataclasses
import functools
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax_deepgemm
from benchmarks import (
  command,
  kernel_programs,
  m_grouped_sweep,
)
from benchmarks.m_grouped_cases import KINDS, MGroupedCase, cases, row_of
from benchmarks.m_grouped_operands import (
  cast_and_gemm,
  layout_array,
  operands,
  product,
  ragged_dot,
  tokens,
)
from jax_deepgemm.testing import bench

_KERNEL = "sm90_m_grouped"
_NUM_DOTS = 5  # Runs of XLA's ragged dot, which may take 100 ms.
_FLUSHED = "caches flushed by a write of up to 8 GB before each run"
_COUNTED = "TFLOP/s and GB/s count rows that belong to a group"
_METHOD = (
  f"kernel time from JAX's profiler, {_FLUSHED}; normal random operands;"
  f" {_COUNTED}"
)
_BF16_METHOD = (
  f"{_METHOD}; ragged_dot_us is jax.lax.ragged_dot of the same rows, from the"
  " first kernel's start to the last one's end"
)
_END_TO_END_METHOD = (
  "from the first kernel's start to the last one's end, from JAX's profiler,"
  f" {_FLUSHED}: cast of the bfloat16 activations and ragged GEMM with"
  " quantised weights in one jit; ragged_dot_us is jax.lax.ragged_dot of the"
  f" bfloat16 operands; {_COUNTED}"
)

Timer = Callable[[MGroupedCase, int], Iterator[dict[str, Any]]]


def main(argv: Sequence[str] | None = None) -> int:
  parser = _parser()
  arguments = parser.parse_args(argv)
  if arguments.dtype == "bf16" and (arguments.sweep or arguments.end_to_end):
    parser.error(
      "--sweep and --end-to-end are of FP8; python -m jax_deepgemm tune"
      " compares configurations of BF16"
    )
  command.need_hopper()
  method = _BF16_METHOD if arguments.dtype == "bf16" else _METHOD
  method = _END_TO_END_METHOD if arguments.end_to_end else method
  rows = command.record(
    arguments,
    _result_name(arguments),
    method,
    _rows(arguments),
    None if arguments.sweep else line,
  )
  if not arguments.sweep and not arguments.end_to_end:
    print("\n".join(means(rows)))
  return 0


def _rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
  """Yields the rows; of a sweep, prints a report for each case."""
  timer = _timer(arguments)
  for case in selected(arguments):
    of_case = []
    for row in timer(case, arguments.num_tests):
      of_case.append(row)
      yield row
    if arguments.sweep:
      print(title(of_case[0]))
      print(m_grouped_sweep.report(of_case), flush=True)


def _parser() -> argparse.ArgumentParser:
  parser = command.parser("m_grouped", num_tests=20)
  mode = parser.add_mutually_exclusive_group()
  mode.add_argument("--end-to-end", action="store_true")
  mode.add_argument("--sweep", action="store_true")
  parser.add_argument("--dtype", choices=("fp8", "bf16"), default="fp8")
  parser.add_argument("--kind", choices=KINDS)
  parser.add_argument("--layout", choices=("psum", "index"), default="psum")
  parser.add_argument("--only-groups", type=int, metavar="G")
  parser.add_argument("--only-m", type=int, metavar="EXPECTED_M")
  parser.add_argument("--most", type=int, metavar="CONFIGS", help="of a sweep")
  return parser


def selected(arguments: argparse.Namespace) -> list[MGroupedCase]:
  """Returns the cases that the command line asks for."""
  if arguments.end_to_end:
    every = cases("ragged")
    return [every[0], every[-1]]
  kinds = KINDS if arguments.kind is None else (arguments.kind,)
  return [
    case
    for kind in kinds
    for case in cases(kind, arguments.layout, arguments.dtype)
    if arguments.only_groups in (None, len(case.sizes))
    and arguments.only_m in (None, case.expected_m)
  ]


def _result_name(arguments: argparse.Namespace) -> str:
  """Returns a name of its own for everything that is not the whole."""
  if arguments.end_to_end:
    return "m_grouped_fp8_end_to_end"
  parts = [
    f"m_grouped_{arguments.dtype}",
    arguments.kind,
    "index" if arguments.layout == "index" else None,
    arguments.only_groups and f"g{arguments.only_groups}",
    arguments.only_m and f"m{arguments.only_m}",
    "sweep" if arguments.sweep else None,
  ]
  return "_".join(part for part in parts if part)


def _timer(arguments: argparse.Namespace) -> Timer:
  if arguments.end_to_end:
    return _time_end_to_end
  if arguments.sweep:
    return functools.partial(_sweep, most=arguments.most)
  return _time_kernel


def _time_kernel(
  case: MGroupedCase, num_tests: int
) -> Iterator[dict[str, Any]]:
  arguments = operands(case)
  fn = product(case)
  time = bench(fn, *arguments, num_tests=num_tests, kernel_name=_KERNEL)
  config = _config(fn, *arguments)
  more = {}
  if case.dtype == "bf16" and case.kind == "ragged":
    a, b, sizes = arguments
    b = b.mT.copy()  # Where XLA's product wants it.
    dot = bench(ragged_dot, a, b, sizes, num_tests=_NUM_DOTS)
    more["ragged_dot_us"] = round(dot.run.median, 2)
  yield row_of(case, time.run, config, **more)


def _time_end_to_end(
  case: MGroupedCase, num_tests: int
) -> Iterator[dict[str, Any]]:
  x, w = tokens(case)
  sizes = layout_array(case)
  b = jax_deepgemm.per_block_cast_to_fp8(w)
  w = w.mT.copy()
  both = bench(cast_and_gemm, x, b, sizes, num_tests=num_tests)
  dot = bench(ragged_dot, x, w, sizes, num_tests=num_tests)
  yield row_of(
    case,
    both.run,
    _config(cast_and_gemm, x, b, sizes),
    ragged_dot_us=round(dot.run.median, 2),
  )


def _sweep(
  case: MGroupedCase, num_tests: int, *, most: int | None
) -> Iterator[dict[str, Any]]:
  arguments = operands(case)
  configs = m_grouped_sweep.configs_of(case, most)
  m_grouped_sweep.compile_ahead(configs)
  choice = m_grouped_sweep.chosen(case)
  for config in configs:
    fn = m_grouped_sweep.product_with(case, config)
    time = bench(fn, *arguments, num_tests=num_tests, kernel_name=_KERNEL)
    yield row_of(
      case,
      time.run,
      dataclasses.asdict(config),
      chosen=config == choice,
      estimate_us=m_grouped_sweep.estimate_us(case, config),
    )


def _config(fn: Callable[..., Any], *args: Any) -> dict[str, Any] | None:
  return kernel_programs.first_config(fn, *args, kernel=_KERNEL)


def means(rows: Sequence[dict[str, Any]]) -> list[str]:
  """Returns for each kind the mean of its ratios, as text."""
  lines = []
  for kind in KINDS:
    of_kind = [row for row in rows if row["case"]["kind"] == kind]
    ratios = [row["ratio"] for row in of_kind if "ratio" in row]
    if ratios:
      mean = statistics.geometric_mean(ratios)
      lines.append(
        f"{kind}: geometric mean of the ratios to DeepGEMM's TFLOP/s:"
        f" {mean:.3f}"
      )
  return lines


def title(row: dict[str, Any]) -> str:
  """Returns the case of a row as text."""
  case = row["case"]
  text = (
    f"{case['layout']:6} {case['num_groups']:2} x {case['expected_m']:4}"
    f" ({case['m']:5} rows) x {case['n']:4} x {case['k']:4}"
  )
  if "deepgemm_us" in row:
    text += f", DeepGEMM {row['deepgemm_us']:.0f} us,"
    text += f" {row['deepgemm_tflops']:.0f} TFLOP/s"
  return text


def line(row: dict[str, Any]) -> str:
  """Returns a row as text."""
  text = (
    f"{title(row)}: {row['us_median']:8.2f} us ({row['us_min']:.2f} to"
    f" {row['us_max']:.2f}), {row['tflops']:7.2f} TFLOP/s,"
    f" {row['gbps']:6.1f} GB/s"
  )
  if "ratio" in row:
    text += f", {row['ratio']:.3f} of DeepGEMM's"
  if "ragged_dot_us" in row:
    text += f"; bf16 ragged_dot {row['ragged_dot_us']:.2f} us"
  if row["config"]:
    text += f"; {m_grouped_sweep.describe(row['config'])}"
  return text


if __name__ == "__main__":
  sys.exit(main())
