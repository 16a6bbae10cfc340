"""Times the MQA logits over the cases of DeepGEMM's tests, on a Hopper GPU.

python -m benchmarks.mqa_logits               cases that DeepGEMM was timed for
python -m benchmarks.mqa_logits --all         all of them
python -m benchmarks.mqa_logits --sustained   back to back, no flush
python -m benchmarks.mqa_logits --sweep       each configuration
"""

import argparse
import functools
import statistics
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jax_deepgemm
from benchmarks import command, kernel_programs, results
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import (
  MqaLogitsProblem,
  Sm90Fp8MqaLogitsConfig,
  legal_mqa_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_mqa_logits
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.testing import bench

_KERNEL = "sm90_fp8_mqa_logits"
_CASES = results.CASES / "mqa_logits.json"
_BASELINE = results.BASELINE.with_name("mqa_deepgemm_h200.json")
_METHOD = (
  "kernel time from JAX's profiler{flush}; normal random operands; what lies"
  " outside of the ranges is written by the same kernel, in DeepGEMM's time it"
  " is not; tflops are 2 h d for each key in a row's range"
)
_FLUSHED = ", caches flushed by a write of up to 8 GB before each run"
# Multiply-adds a cycle and multiprocessor, multiprocessors, and the clock that
# an H200 keeps for a while; bytes a second.
_TENSOR_RATE = 4096 * 132 * 1.6e9
_MEMORY_RATE = 4.3e12


class MqaCase(NamedTuple):
  """A row of the cases; see their "about"."""

  s: int
  skv: int
  h: int
  d: int
  logits: str
  compressed: bool
  cp: bool

  @property
  def ends(self) -> np.ndarray:
    """One past the last key of each row; the first is 0."""
    if not self.cp:
      return np.arange(self.s) + self.skv - self.s
    devices, chunk = self.skv // self.s, self.s // 2
    rank = devices // 3
    chunks = (rank, 2 * devices - 1 - rank)
    return np.concatenate([np.arange(chunk) + i * chunk for i in chunks])

  @property
  def max_seqlen_k(self) -> int:
    return int(self.ends.max()) if self.compressed else 0

  @property
  def form(self) -> MqaForm:
    dtype = np.dtype(getattr(jnp, self.logits))
    return MqaForm(dtype, not self.compressed, self.max_seqlen_k)

  @property
  def problem(self) -> MqaLogitsProblem:
    return MqaLogitsProblem(
      self.s,
      self.skv,
      self.h,
      self.d,
      self.form.width(self.skv),
      self.compressed,
      self.logits == "float32",
    )

  @property
  def multiply_adds(self) -> int:
    return int(self.ends.sum()) * self.h * self.d

  @property
  def floor_us(self) -> float:
    """What tensor cores or memory need at least."""
    num_bytes = self.s * (self.h * (self.d + 4) + 8) + self.skv * (self.d + 4)
    width, size = self.form.width(self.skv), self.form.out_dtype.itemsize
    num_bytes += self.s * width * size
    seconds = max(self.multiply_adds / _TENSOR_RATE, num_bytes / _MEMORY_RATE)
    return seconds * 1e6


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("mqa_logits", num_tests=20)
  parser.add_argument("--all", action="store_true")
  mode = parser.add_mutually_exclusive_group()
  mode.add_argument("--sustained", action="store_true")
  mode.add_argument("--sweep", action="store_true")
  parser.add_argument("--only-d", type=int, metavar="D")
  parser.add_argument("--only-h", type=int, metavar="H")
  parser.add_argument("--most-cases", type=int, metavar="N")
  arguments = parser.parse_args(argv)
  command.need_hopper()
  name, timer = _mode(arguments)
  timed = (
    row
    for case in _selected(arguments)
    for row in timer(case, arguments.num_tests)
  )
  method = _METHOD.format(flush="" if arguments.sustained else _FLUSHED)
  rows = command.record(arguments, name, method, timed, line)
  ratios = [row["ratio"] for row in rows if "ratio" in row]
  if ratios and not arguments.sweep:
    mean = statistics.geometric_mean(ratios)
    print(f"geometric mean of DeepGEMM's time over ours: {mean:.3f}")
  return 0


def _selected(arguments: argparse.Namespace) -> list[MqaCase]:
  found = [
    case
    for case in cases(all_of_them=arguments.all)
    if arguments.only_d in (None, case.d) and arguments.only_h in (None, case.h)
  ]
  return found[: arguments.most_cases]


def _mode(arguments: argparse.Namespace) -> tuple[str, Any]:
  if arguments.sweep:
    return "mqa_logits_sweep", sweep
  if arguments.sustained:
    return "mqa_logits_sustained", functools.partial(time_case, flush_l2=False)
  return "mqa_logits", time_case


def cases(*, all_of_them: bool) -> list[MqaCase]:
  """Returns the cases, all or those of the baseline."""
  every = [MqaCase(**row) for row in results.read(_CASES)["rows"]]
  known = baseline()
  return [case for case in every if all_of_them or case in known]


@functools.cache
def baseline() -> dict[MqaCase, float]:
  """Returns DeepGEMM's times in microseconds."""
  rows = results.read(_BASELINE)["rows"]
  return {MqaCase(**row["case"]): row["us_median"] for row in rows}


def time_case(
  case: MqaCase, num_tests: int, *, flush_l2: bool = True
) -> Iterator[dict[str, Any]]:
  """Yields the row of one case, as it is chosen."""
  yield _timed(case, program(case), num_tests, flush_l2)


def sweep(case: MqaCase, num_tests: int) -> Iterator[dict[str, Any]]:
  """Yields a row for each configuration."""
  for config in legal_mqa_configs(case.problem, H200):
    yield _timed(case, program_with(config, case), num_tests, True)


def program(case: MqaCase) -> Any:
  """Returns the jitted function that is timed."""

  def f(q: jax.Array, kv: Any, *others: jax.Array) -> jax.Array:
    settings = (not case.compressed, case.max_seqlen_k, case.form.out_dtype)
    return jax_deepgemm.fp8_mqa_logits(q, kv, *others, *settings)

  return jax.jit(f)


def program_with(config: Sm90Fp8MqaLogitsConfig, case: MqaCase) -> Any:
  """Returns what the kernel computes in one configuration, jitted."""

  def f(q: jax.Array, kv: Any, *others: jax.Array) -> jax.Array:
    with kernel_programs.chosen(sm90_fp8_mqa_logits, config):
      return sm90_fp8_mqa_logits.run(
        q, *kv, *others, form=case.form, options=Options(), device=H200
      )

  return jax.jit(f)


def operands(case: MqaCase) -> tuple[Any, ...]:
  """Returns normal random q, kv and weights, and the ranges."""
  keys = jax.random.split(jax.random.key(0), 3)
  q = jax.random.normal(keys[0], (case.s, case.h, case.d), jnp.bfloat16)
  kv = jax.random.normal(keys[1], (case.skv, case.d), jnp.bfloat16)
  values, scales = jax_deepgemm.per_token_cast_to_fp8(kv)
  return (
    q.astype(jnp.float8_e4m3fn),
    (values, scales[:, 0]),
    jax.random.normal(keys[2], (case.s, case.h), jnp.float32),
    jnp.zeros(case.s, jnp.int32),
    jnp.asarray(case.ends, jnp.int32),
  )


def _timed(
  case: MqaCase, fn: Any, num_tests: int, flush_l2: bool
) -> dict[str, Any]:
  arguments = operands(case)
  time = bench(
    fn,
    *arguments,
    num_tests=num_tests,
    flush_l2=flush_l2,
    kernel_name=_KERNEL,
  )
  config = kernel_programs.only_config(fn, *arguments)
  return row_of(case, time.run, config)


def row_of(case: MqaCase, times: Any, config: dict[str, Any]) -> dict[str, Any]:
  """Returns a row of results."""
  row = {
    "case": case._asdict(),
    **results.times_of(times),
    "tflops": round(2 * case.multiply_adds / times.median / 1e6, 2),
    "floor_us": round(case.floor_us, 2),
  }
  if case in baseline():
    row["deepgemm_us"] = baseline()[case]
    row["ratio"] = round(row["deepgemm_us"] / row["us_median"], 3)
  return row | {"config": config}


def line(row: dict[str, Any]) -> str:
  """Returns what is printed of a row."""
  case, config = MqaCase(**row["case"]), row["config"]
  text = f"{case.s:5} x {case.skv:5}, {case.h:2} x {case.d:3}, {case.logits:8}"
  text += f"{', compressed' * case.compressed}{', cp' * case.cp}:"
  text += f" {row['us_median']:8.2f} us, {row['tflops']:7.2f} TFLOP/s,"
  text += f" floor {row['floor_us']:7.2f} us"
  names = ("bank_n", "num_math_warpgroups", "max_columns")
  text += f" ({'/'.join(str(config[name]) for name in names)})"
  if "ratio" in row:
    text += f"; DeepGEMM {row['deepgemm_us']:.0f} us, ratio {row['ratio']:.3f}"
  return text


if __name__ == "__main__":
  sys.exit(main())
