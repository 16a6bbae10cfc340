"""Times mqa_topk beside the logits alone, on a Hopper GPU.

python -m benchmarks.mqa_topk                  every case
python -m benchmarks.mqa_topk --only-s 4096    one of them
python -m benchmarks.mqa_topk --without-xla    not jax.lax.top_k of all logits
python -m benchmarks.mqa_topk --chunks         other sizes of chunks
python -m benchmarks.mqa_topk --sweep          the selection's configurations
"""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import command
from jax_deepgemm.heuristics import topk_chunks
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_row_topk import (
  RowTopkProblem,
  Sm90RowTopkConfig,
  legal_row_topk_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_row_topk
from jax_deepgemm.testing import BenchResult, bench

_SELECTION = "sm90_row_topk"
_LOGITS = "sm90_fp8_mqa_logits"
_CHUNK_MB = (24, 35, 70, 96, 140, 210)
_METHOD = (
  "from the first kernel's start to the last one's end, from JAX's profiler,"
  " caches flushed by a write of up to 8 GB before each run; normal random"
  " operands, causal ranges; logits_us is fp8_mqa_logits of all rows, xla_us"
  " that and jax.lax.top_k; temp_mb is what XLA allocates besides operands and"
  " results; logits_kernel_us and selection_kernel_us are sums over chunks"
)


class TopkCase(NamedTuple):
  """Rows, keys, heads, their size, and how many keys are wanted."""

  s: int
  skv: int
  h: int = 64
  d: int = 128
  k: int = 2048


CASES = (
  TopkCase(4096, 65536),
  TopkCase(4096, 8192),
  TopkCase(4096, 32768, k=512),
  TopkCase(2048, 131072),
  TopkCase(8192, 8192, h=32),
  TopkCase(4, 131072),
  TopkCase(64, 65536),
)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("mqa_topk", num_tests=5)
  parser.add_argument("--only-s", type=int, metavar="S")
  parser.add_argument("--only-skv", type=int, metavar="SKV")
  parser.add_argument("--without-xla", action="store_true")
  mode = parser.add_mutually_exclusive_group()
  mode.add_argument("--chunks", action="store_true")
  mode.add_argument("--sweep", action="store_true")
  arguments = parser.parse_args(argv)
  command.need_hopper()
  name, timer = _mode(arguments)
  rows = (
    row
    for case in CASES
    if arguments.only_s in (None, case.s)
    and arguments.only_skv in (None, case.skv)
    for row in timer(case, arguments.num_tests)
  )
  command.record(arguments, name, _METHOD, rows, line)
  return 0


def _mode(arguments: argparse.Namespace) -> tuple[str, Any]:
  if arguments.sweep:
    return "mqa_topk_sweep", sweep
  if arguments.chunks:
    return "mqa_topk_chunks", time_chunks
  return "mqa_topk", functools.partial(
    time_case, with_xla=not arguments.without_xla
  )


def operands(case: TopkCase) -> tuple[Any, ...]:
  """Returns normal random q, kv and weights, and causal ranges."""
  keys = jax.random.split(jax.random.key(0), 3)
  q = jax.random.normal(keys[0], (case.s, case.h, case.d), jnp.bfloat16)
  kv = jax.random.normal(keys[1], (case.skv, case.d), jnp.bfloat16)
  values, scales = jax_deepgemm.per_token_cast_to_fp8(kv)
  ends = jnp.arange(case.s, dtype=jnp.int32) + (case.skv - case.s + 1)
  return (
    q.astype(jnp.float8_e4m3fn),
    (values, scales[:, 0]),
    jax.random.normal(keys[2], (case.s, case.h), jnp.float32),
    jnp.zeros(case.s, jnp.int32),
    ends,
  )


def topk(case: TopkCase) -> Any:
  """Returns the jitted function that is timed."""
  return jax.jit(functools.partial(jax_deepgemm.mqa_topk, k=case.k))


def xla(case: TopkCase) -> Any:
  """Returns all logits and `jax.lax.top_k` of them, jitted."""

  def f(*arrays: Any) -> list[jax.Array]:
    logits = jax_deepgemm.fp8_mqa_logits(*arrays)
    return jax.lax.top_k(logits, min(case.k, case.skv))

  return jax.jit(f)


def time_case(
  case: TopkCase, num_tests: int, *, with_xla: bool = True
) -> Iterator[dict[str, Any]]:
  """Yields the row of one case."""
  arrays = operands(case)
  row = _timed(case, arrays, num_tests)
  logits = jax.jit(jax_deepgemm.fp8_mqa_logits)
  row["logits_us"] = median(bench(logits, *arrays, num_tests=num_tests))
  row["ratio"] = round(row["us"] / row["logits_us"], 3)
  if with_xla:
    row["xla_us"] = median(bench(xla(case), *arrays, num_tests=2))
    row["xla_temp_mb"] = temp_mb(xla(case), arrays)
  yield row


def time_chunks(case: TopkCase, num_tests: int) -> Iterator[dict[str, Any]]:
  """Yields a row for each size of the chunks."""
  arrays = operands(case)
  for megabytes in _CHUNK_MB:
    with mock.patch.multiple(
      topk_chunks, _WANTED_BYTES=megabytes << 20, _MOST_BYTES=megabytes << 20
    ):
      rows = topk_chunks.rows_at_once(case.s, case.skv, H200)
      yield _timed(case, arrays, num_tests) | {
        "chunk_mb": megabytes,
        "chunk_rows": rows,
      }


def sweep(case: TopkCase, num_tests: int) -> Iterator[dict[str, Any]]:
  """Yields a row for each configuration, of one chunk of random logits."""
  rows = topk_chunks.rows_at_once(case.s, case.skv, H200)
  logits = jax.random.normal(jax.random.key(0), (rows, case.skv), jnp.float32)
  starts = jnp.zeros(rows, jnp.int32)
  ends = jnp.full(rows, case.skv, jnp.int32)
  problem = RowTopkProblem(rows, case.skv, min(case.k, case.skv))
  for config in legal_row_topk_configs(problem, H200):
    fn = selection_with(config, problem)
    time = bench(fn, logits, starts, ends, num_tests=num_tests)
    yield {
      "case": case._asdict(),
      "rows": rows,
      "us": median(time),
      "floor_us": round(logits.nbytes / H200.memory_bandwidth * 1e6, 2),
      "config": dataclasses.asdict(config),
    }


def selection_with(config: Sm90RowTopkConfig, problem: RowTopkProblem) -> Any:
  """Returns what the selection computes in one configuration, jitted."""

  def f(*arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
    kernel = sm90_row_topk
    with (
      mock.patch.object(kernel, "choose", return_value=config),
      mock.patch.object(kernel, "num_parts", return_value=1),
    ):
      return kernel.run(
        *arrays,
        num_keys=problem.width,
        k=problem.k,
        options=Options(),
        device=H200,
      )

  return jax.jit(f)


def _timed(
  case: TopkCase, arrays: tuple[Any, ...], num_tests: int
) -> dict[str, Any]:
  fn = topk(case)
  time = bench(fn, *arrays, num_tests=num_tests)
  return row_of(case, time, num_tests) | {"temp_mb": temp_mb(fn, arrays)}


def row_of(
  case: Any, time: BenchResult, num_tests: int, logits_kernel: str = _LOGITS
) -> dict[str, Any]:
  """Returns the row of a case, with sums over the launches of a run."""
  row = {"case": case._asdict(), "us": median(time)}
  for field, kernel in (("logits", logits_kernel), ("selection", _SELECTION)):
    samples = [x for name, x in time.kernels.items() if kernel in name]
    times = [us for x in samples for us in x.microseconds]
    row[f"{field}_kernel_us"] = round(sum(times) / num_tests, 2)
    row[f"{field}_launches"] = len(times) // num_tests
  return row


def times_text(row: dict[str, Any]) -> str:
  """Returns the times of a row that it has."""
  names = ("logits_kernel_us", "selection_kernel_us", "logits_us", "xla_us")
  names += ("floor_us", "ratio", "temp_mb", "xla_temp_mb")
  parts = [f"{row['us']:9.2f} us"]
  parts += [f"{name} {row[name]}" for name in names if name in row]
  return ", ".join(parts)


def median(time: BenchResult) -> float:
  """Returns the microseconds of a run."""
  return round(time.run.median, 2)


def temp_mb(fn: Any, arrays: tuple[Any, ...]) -> float:
  """Returns what XLA allocates for fn(*arrays) besides them and its results."""
  memory = fn.lower(*arrays).compile().memory_analysis()
  return round(memory.temp_size_in_bytes / 2**20, 1)


def line(row: dict[str, Any]) -> str:
  """Returns what is printed of a row."""
  case = TopkCase(**row["case"])
  text = f"{case.s:5} x {case.skv:6}, {case.h:2} x {case.d:3}, k {case.k:5}:"
  text += f" {times_text(row)}"
  if "chunk_mb" in row:
    text += f", chunks of {row['chunk_mb']} MB, {row['chunk_rows']} rows"
  if "config" in row:
    text += f" ({'/'.join(map(str, row['config'].values()))})"
  return text


if __name__ == "__main__":
  sys.exit(main())
