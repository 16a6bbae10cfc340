"""Times the paged MQA logits over cases of DeepGEMM's tests, on a Hopper GPU.

python -m benchmarks.paged_mqa_logits               those DeepGEMM was timed for
python -m benchmarks.paged_mqa_logits --all         all of them
python -m benchmarks.paged_mqa_logits --sustained   back to back, no flush
python -m benchmarks.paged_mqa_logits --sweep       each configuration
"""

import argparse
import dataclasses
import functools
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jax_deepgemm
from benchmarks import command, kernel_programs, results
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import (
  PagedMqaProblem,
  Sm90Fp8PagedMqaLogitsConfig,
  legal_paged_mqa_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_paged_mqa_logits
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm
from jax_deepgemm.testing import bench

_KERNEL = "sm90_fp8_paged_mqa_logits"
_CASES = results.CASES / "paged_mqa_logits.json"
_BASELINE = results.BASELINE.with_name("paged_mqa_deepgemm_h200.json")
_METHOD = (
  "kernel time from JAX's profiler{flush}; normal random operands, pages in any"
  " order; gbps counts keys once for each sequence, q, weights and logits up to"
  " the context, and ratio is that of gbps, since contexts are random; tflops"
  " are 2 h d for each key of a row"
)
_FLUSHED = ", caches flushed by a write of up to 8 GB before each run"
_BLOCK_KV = 64
_DIFFERENT_PAGES = 4096
_SWEPT_STAGES = (6, 12, 18)  # Of two warpgroups and of three.
# Multiply-adds a cycle and multiprocessor, multiprocessors, and the clock that
# an H200 keeps for a while; bytes a second.
_TENSOR_RATE = 4096 * 132 * 1.6e9
_MEMORY_RATE = 4.3e12


class PagedCase(NamedTuple):
  """A row of the cases; see their "about"."""

  batch: int
  next_n: int
  h: int
  d: int
  avg_kv: int
  width: int
  logits: str
  most_tokens: int

  @property
  def indices(self) -> np.ndarray | None:
    """The sequence of each row, if rows have one."""
    if not self.most_tokens:
      return None
    random = np.random.default_rng(1)
    tokens = random.integers(1, self.most_tokens + 1, self.batch)
    return np.repeat(np.arange(self.batch), tokens)[: self.batch]

  @property
  def lens(self) -> np.ndarray:
    """Keys of each row; the last row of a sequence has the most."""
    random = np.random.default_rng(0)
    low, high = int(0.7 * self.avg_kv), int(1.3 * self.avg_kv)
    longest = random.integers(low, high, self.batch)
    if self.indices is not None:
      # A token more for each further row.
      first = np.searchsorted(self.indices, self.indices)
      longest = longest[first] + np.arange(self.batch) - first
    behind = np.arange(self.next_n)[::-1]
    return np.minimum(longest[:, None] - behind, self.width).clip(0)

  @property
  def first_rows(self) -> np.ndarray:
    """The first row of each row's sequence."""
    if self.indices is None:
      return np.arange(self.batch)
    return np.searchsorted(self.indices, self.indices)

  @property
  def form(self) -> PagedMqaForm:
    dtype = np.dtype(getattr(jnp, self.logits))
    return PagedMqaForm(dtype, False, self.width, self.most_tokens > 0)

  @property
  def max_pages(self) -> int:
    return -(-int(self.lens.max()) // _BLOCK_KV)

  @property
  def num_pages(self) -> int:
    return self.batch * self.max_pages

  @property
  def problem(self) -> PagedMqaProblem:
    return PagedMqaProblem(
      batch=self.batch,
      next_n=self.next_n,
      num_heads=self.h,
      head_dim=self.d,
      block_kv=_BLOCK_KV,
      num_pages=self.num_pages,
      max_pages=self.max_pages,
      width=self.width,
      is_varlen=self.most_tokens > 0,
      float32_out=self.logits == "float32",
    )

  @property
  def multiply_adds(self) -> int:
    return int(self.lens.sum()) * self.h * self.d

  @property
  def num_keys_read(self) -> int:
    """Keys of all sequences, each once."""
    longest = np.zeros(self.batch, int)
    np.maximum.at(longest, self.first_rows, self.lens.max(1))
    return int(longest.sum())

  @property
  def num_bytes(self) -> int:
    """Bytes that are read and written at least."""
    rows = self.batch * self.next_n
    logits = int(self.lens.sum()) * self.form.out_dtype.itemsize
    keys = self.num_keys_read * (self.d + 4)
    return rows * self.h * (self.d + 4) + keys + logits

  @property
  def floor_us(self) -> float:
    """What tensor cores or memory need at least."""
    compute = self.multiply_adds / _TENSOR_RATE
    return max(compute, self.num_bytes / _MEMORY_RATE) * 1e6


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("paged_mqa_logits", num_tests=20)
  parser.add_argument("--all", action="store_true")
  mode = parser.add_mutually_exclusive_group()
  mode.add_argument("--sustained", action="store_true")
  mode.add_argument("--sweep", action="store_true")
  add_filters(parser)
  arguments = parser.parse_args(argv)
  command.need_hopper()
  name, timer = _mode(arguments)
  timed = (
    row
    for case in selected(arguments)
    for row in timer(case, arguments.num_tests)
  )
  method = _METHOD.format(flush="" if arguments.sustained else _FLUSHED)
  rows = command.record(arguments, name, method, timed, line)
  ratios = [row["ratio"] for row in rows if "ratio" in row]
  if ratios and not arguments.sweep:
    mean = statistics.geometric_mean(ratios)
    print(f"geometric mean of our bytes a second over DeepGEMM's: {mean:.3f}")
  return 0


def add_filters(parser: argparse.ArgumentParser) -> None:
  """Adds what `selected` reads, besides --all."""
  for name, metavar in (
    ("--only-batch", "B"),
    ("--only-h", "H"),
    ("--only-avg-kv", "N"),
    ("--most-cases", "N"),
  ):
    parser.add_argument(name, type=int, metavar=metavar)


def selected(arguments: argparse.Namespace) -> list[PagedCase]:
  """Returns the cases that are asked for."""
  found = [
    case
    for case in cases(all_of_them=arguments.all)
    if arguments.only_batch in (None, case.batch)
    and arguments.only_h in (None, case.h)
    and arguments.only_avg_kv in (None, case.avg_kv)
  ]
  return found[: arguments.most_cases]


def _mode(arguments: argparse.Namespace) -> tuple[str, Any]:
  if arguments.sweep:
    return "paged_mqa_logits_sweep", sweep
  if arguments.sustained:
    timer = functools.partial(time_case, flush_l2=False)
    return "paged_mqa_logits_sustained", timer
  return "paged_mqa_logits", time_case


def cases(*, all_of_them: bool) -> list[PagedCase]:
  """Returns the cases, all or those of the baseline."""
  every = [PagedCase(**row) for row in results.read(_CASES)["rows"]]
  known = baseline()
  return [case for case in every if all_of_them or case in known]


@functools.cache
def baseline() -> dict[PagedCase, dict[str, float]]:
  """Returns DeepGEMM's times in microseconds and gigabytes a second."""
  rows = results.read(_BASELINE)["rows"]
  return {PagedCase(**row["case"]): row for row in rows}


def time_case(
  case: PagedCase, num_tests: int, *, flush_l2: bool = True
) -> Iterator[dict[str, Any]]:
  """Yields the row of one case, as it is chosen."""
  yield _timed(case, operands(case), program(case), num_tests, flush_l2)


def sweep(case: PagedCase, num_tests: int) -> Iterator[dict[str, Any]]:
  """Yields a row for each configuration."""
  arguments = operands(case)
  for config in swept_configs(case):
    fn = program_with(config, case)
    yield _timed(case, arguments, fn, num_tests, True)


def swept_configs(case: PagedCase) -> list[Sm90Fp8PagedMqaLogitsConfig]:
  """Returns the legal configurations, and the first ones with fewer stages."""
  legal = list(legal_paged_mqa_configs(case.problem, H200))
  fewer = [
    dataclasses.replace(config, num_stages=stages)
    for config in legal[:2]
    for stages in _SWEPT_STAGES
    if stages < config.num_stages
  ]
  return legal + fewer


def program(case: PagedCase) -> Any:
  """Returns the jitted function that is timed."""

  def f(*arrays: jax.Array) -> jax.Array:
    *first, indices = (*arrays, None)[:6]
    settings = (case.width, False, case.form.out_dtype)
    return jax_deepgemm.fp8_paged_mqa_logits(*first, None, *settings, indices)

  return jax.jit(f)


def program_with(config: Sm90Fp8PagedMqaLogitsConfig, case: PagedCase) -> Any:
  """Returns what the kernel computes in one configuration, jitted."""

  def f(
    q: jax.Array, cache: jax.Array, weights: jax.Array, *others: jax.Array
  ) -> jax.Array:
    with kernel_programs.chosen(sm90_fp8_paged_mqa_logits, config):
      return sm90_fp8_paged_mqa_logits.run(
        q,
        cache.reshape(len(cache), -1),
        weights.reshape(q.shape[:3]),
        *others,
        form=case.form,
        options=Options(),
        device=H200,
      )

  return jax.jit(f)


def operands(case: PagedCase) -> tuple[jax.Array, ...]:
  """Returns normal random q and weights, a cache, lengths, table and indices.

  Pages of the cache repeat: it may be of many gigabytes.
  """
  keys = jax.random.split(jax.random.key(0), 2)
  shape = (case.batch, case.next_n, case.h, case.d)
  q = jax.random.normal(keys[0], shape, jnp.bfloat16)
  cache = repeated_pages(keys[1], case, jax_deepgemm.per_token_cast_to_fp8)
  return (q.astype(jnp.float8_e4m3fn), cache, *operands_of_rows(case))


def operands_of_rows(case: PagedCase) -> tuple[jax.Array, ...]:
  """Returns weights, lengths, the table, and indices if there are some."""
  weights = (case.batch * case.next_n, case.h)
  table = np.random.default_rng(2).permutation(case.num_pages)
  table = table.reshape(case.batch, case.max_pages)[case.first_rows]
  arrays = (
    jax.random.normal(jax.random.key(1), weights, jnp.float32),
    jnp.asarray(case.lens, jnp.int32),
    jnp.asarray(table, jnp.int32),
  )
  if case.indices is None:
    return arrays
  return (*arrays, jnp.asarray(case.indices, jnp.int32))


@functools.partial(jax.jit, static_argnums=(1, 2))
def repeated_pages(
  key: jax.Array, case: PagedCase, cast: Callable[[jax.Array], Any]
) -> jax.Array:
  """Returns a cache of normal random keys; pages repeat.

  Args:
    key: of random numbers.
    case: whose cache it is.
    cast: returns keys and one scale of 4 bytes for each.
  """
  few = min(case.num_pages, _DIFFERENT_PAGES)
  kv = jax.random.normal(key, (few * _BLOCK_KV, case.d), jnp.bfloat16)
  values, scales = cast(kv)
  codes = [
    jax.lax.bitcast_convert_type(x, jnp.uint8).reshape(few, -1)
    for x in (values, scales[:, 0])
  ]
  pages = jnp.concatenate(codes, axis=1)
  pages = jnp.tile(pages, (-(-case.num_pages // few), 1))[: case.num_pages]
  return pages.reshape(case.num_pages, _BLOCK_KV, 1, -1)


def _timed(
  case: PagedCase, arguments: Any, fn: Any, num_tests: int, flush_l2: bool
) -> dict[str, Any]:
  time = bench(
    fn,
    *arguments,
    num_tests=num_tests,
    flush_l2=flush_l2,
    kernel_name=_KERNEL,
  )
  config = kernel_programs.only_config(fn, *arguments)
  return row_of(case, time.run, config)


def row_of(
  case: PagedCase, times: Any, config: dict[str, Any]
) -> dict[str, Any]:
  """Returns a row of results."""
  row = {
    "case": case._asdict(),
    **results.times_of(times),
    "tflops": round(2 * case.multiply_adds / times.median / 1e6, 2),
    "gbps": round(case.num_bytes / times.median / 1e3, 1),
    "floor_us": round(case.floor_us, 2),
  }
  if case in baseline():
    known = baseline()[case]
    row["deepgemm_us"], row["deepgemm_gbps"] = known["us_median"], known["gbps"]
    row["ratio"] = round(row["gbps"] / known["gbps"], 3)
  return row | {"config": config}


def line(row: dict[str, Any]) -> str:
  """Returns what is printed of a row."""
  case, config = PagedCase(**row["case"]), row["config"]
  text = f"{case.batch:4} x {case.next_n}, {case.h:2} x {case.d:3},"
  text += f" {case.avg_kv:5} keys, {case.logits:8}"
  text += f"{f', runs of {case.most_tokens}' * (case.most_tokens > 0)}:"
  text += f" {row['us_median']:8.2f} us, {row['gbps']:7.1f} GB/s,"
  text += f" floor {row['floor_us']:7.2f} us"
  names = ("bank_n", "max_banks", "num_math_warpgroups")
  names += ("num_stages", "max_columns")
  text += f" ({'/'.join(str(config[name]) for name in names)})"
  if "ratio" in row:
    text += f"; DeepGEMM {row['deepgemm_us']:.0f} us,"
    text += f" {row['deepgemm_gbps']:.0f} GB/s, ratio {row['ratio']:.3f}"
  return text


if __name__ == "__main__":
  sys.exit(main())
