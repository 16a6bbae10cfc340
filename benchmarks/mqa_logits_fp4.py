"""Times the MQA logits of FP4 vectors beside those of FP8, on a Hopper GPU.

python -m benchmarks.mqa_logits_fp4              cases of DeepGEMM's FP8 times
python -m benchmarks.mqa_logits_fp4 --all        all of its FP8 cases
python -m benchmarks.mqa_logits_fp4 --sweep      each configuration
python -m benchmarks.mqa_logits_fp4 --only-d 64  vectors of one length
"""

import argparse
import functools
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import (
  command,
  kernel_programs,
  mqa_logits,
)
from benchmarks.mqa_logits import MqaCase
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_fp4_mqa_logits import (
  Sm90Fp8Fp4MqaLogitsConfig,
  legal_fp4_mqa_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_fp4_mqa_logits
from jax_deepgemm.testing import bench

_KERNEL = "sm90_fp8_fp4_mqa_logits"
_FP8_KERNEL = "sm90_fp8_mqa_logits"
_METHOD = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run; normal random operands; fp8_us is fp8_mqa_logits of the"
  " same shape in the same run; deepgemm_us is DeepGEMM's of FP8, which has no"
  " FP4 on Hopper; tflops are 2 h d for each key in a row's range"
)
_LEAST_D = 64  # DeepGEMM's FP4 has no shorter vectors.


def main(argv: Sequence[str] | None = None) -> int:
  arguments = _parser().parse_args(argv)
  command.need_hopper()
  name = "mqa_logits_fp4_sweep" if arguments.sweep else "mqa_logits_fp4"
  timer = sweep if arguments.sweep else time_case
  rows = (
    row for case in cases(arguments) for row in timer(case, arguments.num_tests)
  )
  command.record(arguments, name, _METHOD, rows, line)
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = command.parser("mqa_logits_fp4", num_tests=20)
  parser.add_argument("--all", action="store_true")
  parser.add_argument("--sweep", action="store_true")
  parser.add_argument("--only-d", type=int, metavar="D")
  parser.add_argument("--most-cases", type=int, metavar="N")
  return parser


def cases(arguments: argparse.Namespace) -> list[MqaCase]:
  """Returns the cases that are asked for."""
  found = [
    case
    for case in mqa_logits.cases(all_of_them=arguments.all)
    if case.d >= _LEAST_D and arguments.only_d in (None, case.d)
  ]
  return found[: arguments.most_cases]


def time_case(case: MqaCase, num_tests: int) -> Iterator[dict[str, Any]]:
  """Yields the row of one case, as it is chosen, beside FP8."""
  fp8 = bench(
    mqa_logits.program(case),
    *mqa_logits.operands(case),
    num_tests=num_tests,
    kernel_name=_FP8_KERNEL,
  )
  yield _timed(case, program(case), num_tests) | {
    "fp8_us": round(fp8.run.median, 2)
  }


def sweep(case: MqaCase, num_tests: int) -> Iterator[dict[str, Any]]:
  """Yields a row for each configuration."""
  for config in legal_fp4_mqa_configs(case.problem, H200):
    yield _timed(case, program_with(config, case), num_tests)


def program(case: MqaCase) -> Any:
  """Returns the jitted function that is timed."""

  def f(q: Any, kv: Any, *others: jax.Array) -> jax.Array:
    settings = (not case.compressed, case.max_seqlen_k, case.form.out_dtype)
    return jax_deepgemm.fp8_fp4_mqa_logits(q, kv, *others, *settings)

  return jax.jit(f)


def program_with(config: Sm90Fp8Fp4MqaLogitsConfig, case: MqaCase) -> Any:
  """Returns what the kernel computes in one configuration, jitted."""

  def f(q: Any, kv: Any, *others: jax.Array) -> jax.Array:
    with kernel_programs.chosen(sm90_fp8_fp4_mqa_logits, config):
      return sm90_fp8_fp4_mqa_logits.run(
        q[0],
        *kv,
        *others,
        q[1],
        form=case.form,
        options=Options(),
        device=H200,
      )

  return jax.jit(f)


def operands(case: MqaCase) -> tuple[Any, ...]:
  """Returns normal random q, kv and weights, and the ranges."""
  keys = jax.random.split(jax.random.key(0), 3)
  q = jax.random.normal(keys[0], (case.s, case.h, case.d), jnp.bfloat16)
  kv = jax.random.normal(keys[1], (case.skv, case.d), jnp.bfloat16)
  cast = functools.partial(
    jax_deepgemm.per_token_cast_to_fp4,
    use_ue8m0=True,
    gran_k=32,
    use_packed_ue8m0=True,
  )
  (q, q_scales), (kv, scales) = cast(q), cast(kv)
  return (
    (q, q_scales[..., 0]),
    (kv, scales[..., 0]),
    jax.random.normal(keys[2], (case.s, case.h), jnp.float32),
    jnp.zeros(case.s, jnp.int32),
    jnp.asarray(case.ends, jnp.int32),
  )


def _timed(case: MqaCase, fn: Any, num_tests: int) -> dict[str, Any]:
  arguments = operands(case)
  time = bench(fn, *arguments, num_tests=num_tests, kernel_name=_KERNEL)
  config = kernel_programs.only_config(fn, *arguments)
  row = mqa_logits.row_of(case, time.run, config)
  row.pop("ratio", None)  # To FP8's time, which is no yardstick.
  return row


def line(row: dict[str, Any]) -> str:
  """Returns what is printed of a row."""
  text = mqa_logits.line(row)
  if "fp8_us" in row:
    text += (
      f"; FP8 {row['fp8_us']:.2f} us, {row['us_median'] / row['fp8_us']:.3f}"
    )
  if "deepgemm_us" in row:
    text += f"; DeepGEMM's FP8 {row['deepgemm_us']:.0f} us"
  return text


if __name__ == "__main__":
  sys.exit(main())
