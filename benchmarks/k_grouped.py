"""Times the K-grouped GEMMs over the cases of DeepGEMM's tests.

python -m benchmarks.k_grouped                 kernel time, caches flushed
python -m benchmarks.k_grouped --sustained     kernel time, back to back
python -m benchmarks.k_grouped --end-to-end    casts, packing and GEMM
python -m benchmarks.k_grouped --sweep         the likely tiles of each case
python -m benchmarks.k_grouped --dtype bf16    BF16, beside XLA's ragged dot
"""

import argparse
import functools
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import (
  command,
  k_grouped_bf16,
  kernel_programs,
  results,
)
from benchmarks.results import KGroupedCase
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  KGroupedFp8GemmProblem,
  Sm90KGroupedFp8GemmConfig,
  legal_k_grouped_configs,
)
from jax_deepgemm.k_grouped_packing import (
  group_ranges,
  pack_quantized,
  packed_sources,
)
from jax_deepgemm.options import Options, current
from jax_deepgemm.primitives import sm90_k_grouped_fp8_gemm
from jax_deepgemm.primitives.k_grouped_gemm import k_grouped_fp8_gemm
from jax_deepgemm.testing import bench

_KERNEL = "sm90_k_grouped"
_TILES = ((3, 1, 128), (2, 2, 128), (2, 1, 160), (2, 1, 128))
_FLUSHED = "caches flushed by a write of up to 8 GB before each run"
_METHODS = {
  "k_grouped_fp8": (
    f"kernel time from JAX's profiler, {_FLUSHED}; normal random operands,"
    " d += a b^T; TFLOP/s count groups padded to 128"
  ),
  "k_grouped_fp8_sustained": (
    "kernel time from JAX's profiler, runs back to back without flush; normal"
    " random operands, d += a b^T; TFLOP/s count groups padded to 128"
  ),
  "k_grouped_fp8_end_to_end": (
    "from the first kernel's start to the last one's end, from JAX's profiler,"
    f" {_FLUSHED}: casts of bfloat16 operands, packing and GEMM in one jit"
  ),
  "k_grouped_fp8_sweep": f"kernel time from JAX's profiler, {_FLUSHED}",
  "k_grouped_bf16": (
    f"kernel time from JAX's profiler, {_FLUSHED}; normal random operands;"
    " ragged_dot_us is all kernels of jax.lax.ragged_dot_general of the same"
    " operands, plus c; TFLOP/s count tokens without padding"
  ),
  "k_grouped_bf16_sustained": (
    "kernel time from JAX's profiler, runs back to back without flush; normal"
    " random operands; TFLOP/s count tokens without padding"
  ),
  "k_grouped_bf16_sweep": f"kernel time from JAX's profiler, {_FLUSHED}",
}

Timer = Callable[[KGroupedCase, int], Iterator[dict[str, Any]]]


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("k_grouped", num_tests=30)
  mode = parser.add_mutually_exclusive_group()
  mode.add_argument("--sustained", action="store_true")
  mode.add_argument("--end-to-end", action="store_true")
  mode.add_argument("--sweep", action="store_true")
  parser.add_argument("--dtype", choices=("fp8", "bf16"), default="fp8")
  parser.add_argument("--without-c", action="store_true")
  parser.add_argument("--only-groups", type=int, metavar="G")
  arguments = parser.parse_args(argv)
  if arguments.dtype == "bf16" and arguments.end_to_end:
    parser.error("--end-to-end times casts, of which --dtype bf16 has none")
  command.need_hopper()
  name, timer = _mode(arguments)
  timed = (
    row
    for case in results.k_grouped_cases()
    if arguments.only_groups in (None, len(case.sizes))
    for row in timer(case, arguments.num_tests)
  )
  with_c = not arguments.without_c
  rows = command.record(arguments, name, _METHODS[name], timed, line, c=with_c)
  ratios = [row["ratio"] for row in rows if "ratio" in row]
  if ratios and name != "k_grouped_fp8_sweep":
    mean = statistics.geometric_mean(ratios)
    print(f"geometric mean of the ratios to DeepGEMM's TFLOP/s: {mean:.3f}")
  return 0


def _mode(arguments: argparse.Namespace) -> tuple[str, Timer]:
  with_c = not arguments.without_c
  if arguments.dtype == "bf16":
    return _bf16_mode(arguments, with_c)
  if arguments.end_to_end:
    return "k_grouped_fp8_end_to_end", _time_end_to_end
  if arguments.sweep:
    return "k_grouped_fp8_sweep", functools.partial(_sweep, with_c=with_c)
  if arguments.sustained:
    return "k_grouped_fp8_sustained", functools.partial(
      _time_kernel, with_c=with_c, flush_l2=False
    )
  return "k_grouped_fp8", functools.partial(_time_kernel, with_c=with_c)


def _bf16_mode(
  arguments: argparse.Namespace, with_c: bool
) -> tuple[str, Timer]:
  if arguments.sweep:
    timer = functools.partial(k_grouped_bf16.sweep, with_c=with_c)
    return "k_grouped_bf16_sweep", timer
  timer = functools.partial(k_grouped_bf16.time_kernel, with_c=with_c)
  if arguments.sustained:
    alone = functools.partial(timer, flush_l2=False, yardstick=False)
    return "k_grouped_bf16_sustained", alone
  return "k_grouped_bf16", timer


def _time_kernel(
  case: KGroupedCase, num_tests: int, *, with_c: bool, flush_l2: bool = True
) -> Iterator[dict[str, Any]]:
  arguments = operands(case, with_c)
  config = kernel_programs.first_config(gemm, *arguments)
  time = bench(
    gemm,
    *arguments,
    num_tests=num_tests,
    flush_l2=flush_l2,
    kernel_name=_KERNEL,
  )
  yield row_of(case, time.run, config)


def _time_end_to_end(
  case: KGroupedCase, num_tests: int
) -> Iterator[dict[str, Any]]:
  x, y, sizes = tokens(case)
  time = bench(cast_and_gemm, x, y, sizes, num_tests=num_tests)
  config = kernel_programs.first_config(cast_and_gemm, x, y, sizes)
  yield row_of(case, time.run, config)


def _sweep(
  case: KGroupedCase, num_tests: int, *, with_c: bool
) -> Iterator[dict[str, Any]]:
  arguments = operands(case, with_c)
  for config in likely_configs(case, with_c):
    fn = jax.jit(functools.partial(_run_with, config))
    time = bench(fn, *arguments, num_tests=num_tests, kernel_name=_KERNEL)
    yield row_of(case, time.run, kernel_programs.first_config(fn, *arguments))


def likely_configs(
  case: KGroupedCase, with_c: bool
) -> list[Sm90KGroupedFp8GemmConfig]:
  """Returns what a sweep tries, uncut: large tiles, clusters, ways to store."""
  problem = KGroupedFp8GemmProblem(
    case.m, case.n, case.k_padded // 128, len(case.sizes), with_c
  )
  return [
    config
    for config in legal_k_grouped_configs(problem, H200)
    if config.num_parts == 1
    and config.gemm.num_early_boxes > 1
    and (
      config.gemm.num_math_warpgroups,
      config.gemm.num_slabs,
      config.gemm.block_n,
    )
    in _TILES
  ]


def _run_with(
  config: Sm90KGroupedFp8GemmConfig, *arguments: jax.Array
) -> jax.Array:
  with kernel_programs.chosen(sm90_k_grouped_fp8_gemm, config):
    return sm90_k_grouped_fp8_gemm.run(
      *arguments,
      out_dtype=jnp.dtype(jnp.float32),
      options=Options(),
      device=H200,
    )


def tokens(case: KGroupedCase) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns normal random `[sum_k, m]`, `[sum_k, n]` bfloat16, and sizes."""
  x_key, y_key = jax.random.split(jax.random.key(0))
  sum_k = sum(case.sizes)
  return (
    jax.random.normal(x_key, (sum_k, case.m), jnp.bfloat16),
    jax.random.normal(y_key, (sum_k, case.n), jnp.bfloat16),
    jnp.asarray(case.sizes, jnp.int32),
  )


def operands(case: KGroupedCase, with_c: bool) -> tuple[jax.Array, ...]:
  """Returns what the kernel takes: a, sfa, b, sfb, sizes and perhaps c."""
  x, y, sizes = tokens(case)
  packed = (*_pack(x, sizes), *_pack(y, sizes), sizes)
  if not with_c:
    return packed
  shape = (len(case.sizes), case.m, case.n)
  return *packed, jax.random.normal(jax.random.key(1), shape, jnp.float32)


@jax.jit
def _pack(x, sizes):
  ranges = group_ranges(sizes, x.shape[0], use_psum_layout=False)
  return pack_quantized(x, packed_sources(ranges, x.shape[0]), 0)


@jax.jit
def gemm(*arguments):
  return k_grouped_fp8_gemm(*arguments, options=current())


@jax.jit
def cast_and_gemm(x, y, sizes):
  return jax_deepgemm.k_grouped_fp8_gemm_tn_contiguous(x, y, sizes)


def row_of(
  case: KGroupedCase, times: Any, config: dict[str, Any] | None
) -> dict[str, Any]:
  """Returns a row of results, compared with the baseline by TFLOP/s."""
  row = results.row((case.m, case.n, case.k), times, config)
  row["case"]["num_groups"] = len(case.sizes)
  baseline = baseline_tflops(case)
  return row | {"ratio": round(row["tflops"] / baseline, 4)}


def baseline_tflops(case: KGroupedCase) -> float:
  """Returns DeepGEMM's speed at this m, n and number of groups."""
  for row in results.read(results.K_GROUPED_BASELINE)["rows"]:
    wanted = {"num_groups": len(case.sizes), "m": case.m, "n": case.n}
    if wanted.items() <= row["case"].items():
      return row["tflops"]
  raise ValueError(f"the baseline has no {case}")


def line(row: dict[str, Any]) -> str:
  """Returns a row as text."""
  case, config = row["case"], row["config"] or {}
  tile = [
    str(config.get(name))
    for name in (
      "num_math_warpgroups",
      "num_slabs",
      "block_n",
      "num_stages",
      "cluster_m",
      "cluster_n",
      "num_store_slots",
    )
  ]
  beside = ""
  if "ratio" in row:
    beside = f", {row['ratio']:.3f} of DeepGEMM's"
  if "ragged_dot_us" in row:
    beside = f"; ragged dot {row['ragged_dot_us']:.2f} us"
  return (
    f"{case['num_groups']:3} x {case['m']:5} x {case['n']:5} x {case['k']:6}:"
    f" {row['us_median']:8.2f} us ({row['us_min']:.2f} to {row['us_max']:.2f}),"
    f" {row['tflops']:7.2f} TFLOP/s{beside}; {' '.join(tile)}"
  )


if __name__ == "__main__":
  sys.exit(main())
