"""Times paged_mqa_topk beside the logits alone, on a Hopper GPU.

python -m benchmarks.paged_mqa_topk                  every case
python -m benchmarks.paged_mqa_topk --only-batch 1   some of them
"""

import functools
import sys
from collections.abc import Sequence
from typing import Any

import jax

import jax_deepgemm
from benchmarks import command, mqa_topk, paged_mqa_logits
from benchmarks.paged_mqa_logits import PagedCase
from jax_deepgemm.testing import bench

_K = 2048
_METHOD = (
  "from the first kernel's start to the last one's end, from JAX's profiler,"
  " caches flushed by a write of up to 8 GB before each run; normal random"
  " operands; logits_us is fp8_paged_mqa_logits; k is 2048; selection_kernel_us"
  " is a sum over launches, two where rows are cut"
)
# Decoding: sequences, rows of each, their keys on average, columns.
CASES = tuple(
  PagedCase(batch, next_n, 64, 128, avg_kv, 131072, "float32", 0)
  for batch, next_n, avg_kv in (
    (1, 1, 8192),
    (1, 1, 65536),
    (8, 1, 65536),
    (64, 1, 65536),
    (64, 2, 8192),
    (256, 1, 65536),
  )
)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("paged_mqa_topk", num_tests=10)
  parser.add_argument("--only-batch", type=int, metavar="B")
  arguments = parser.parse_args(argv)
  command.need_hopper()
  rows = (
    time_case(case, arguments.num_tests)
    for case in CASES
    if arguments.only_batch in (None, case.batch)
  )
  command.record(arguments, "paged_mqa_topk", _METHOD, rows, line)
  return 0


def programs(case: PagedCase) -> tuple[Any, Any]:
  """Returns the choice and the logits alone, jitted."""
  topk = functools.partial(
    jax_deepgemm.paged_mqa_topk, k=_K, max_context_len=case.width
  )
  logits = functools.partial(
    jax_deepgemm.fp8_paged_mqa_logits,
    schedule_meta=None,
    max_context_len=case.width,
  )
  return jax.jit(topk), jax.jit(logits)


def time_case(case: PagedCase, num_tests: int) -> dict[str, Any]:
  """Returns the row of a case."""
  arrays = paged_mqa_logits.operands(case)
  topk, logits = programs(case)
  time = bench(topk, *arrays, num_tests=num_tests)
  row = mqa_topk.row_of(case, time, num_tests, "sm90_fp8_paged_mqa_logits")
  alone = bench(logits, *arrays, num_tests=num_tests)
  row["logits_us"] = mqa_topk.median(alone)
  row["ratio"] = round(row["us"] / row["logits_us"], 3)
  row["temp_mb"] = mqa_topk.temp_mb(topk, arrays)
  return row


def line(row: dict[str, Any]) -> str:
  """Returns what is printed of a row."""
  case = PagedCase(**row["case"])
  text = f"{case.batch:4} x {case.next_n}, {case.avg_kv:6} keys:"
  return f"{text} {mqa_topk.times_text(row)}"


if __name__ == "__main__":
  sys.exit(main())
