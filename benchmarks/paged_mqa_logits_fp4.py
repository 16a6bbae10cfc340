"""Times the paged MQA logits of FP4 vectors beside FP8, on a Hopper GPU.

python -m benchmarks.paged_mqa_logits_fp4            cases of DeepGEMM's times
python -m benchmarks.paged_mqa_logits_fp4 --all      all of its FP8 cases
python -m benchmarks.paged_mqa_logits_fp4 --sweep    each configuration
python -m benchmarks.paged_mqa_logits_fp4 --d 64     other lengths of vectors
"""

import argparse
import dataclasses
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
  paged_mqa_logits,
)
from benchmarks.paged_mqa_logits import PagedCase
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_fp4_paged_mqa_logits import (
  Sm90Fp8Fp4PagedMqaLogitsConfig,
  legal_fp4_paged_mqa_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_fp4_paged_mqa_logits
from jax_deepgemm.testing import bench

_KERNEL = "sm90_fp8_fp4_paged_mqa_logits"
_FP8_KERNEL = "sm90_fp8_paged_mqa_logits"
_METHOD = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run; normal random operands, pages in any order; fp8_us is"
  " fp8_paged_mqa_logits of the same shape in the same run; gbps counts keys"
  " once for each sequence, q, weights and logits up to the context; tflops are"
  " 2 h d for each key of a row; deepgemm_us is DeepGEMM's of FP8, which has no"
  " FP4 on Hopper"
)
_SWEPT_STAGES = (8, 24)
_SCALE_BYTES = 4  # Of a vector, in FP8 and FP4.


class Fp4PagedCase(PagedCase):
  """A row of the cases, its vectors in FP4."""

  @property
  def num_bytes(self) -> int:
    """Bytes that are read and written at least."""
    rows, vectors = self.batch * self.next_n, self.d // 2 + _SCALE_BYTES
    logits = int(self.lens.sum()) * self.form.out_dtype.itemsize
    # q has its scales and weights beside it.
    return rows * self.h * (vectors + 4) + self.num_keys_read * vectors + logits


def main(argv: Sequence[str] | None = None) -> int:
  arguments = _parser().parse_args(argv)
  command.need_hopper()
  name = "paged_mqa_logits_fp4" + ("_sweep" if arguments.sweep else "")
  timer = sweep if arguments.sweep else time_case
  rows = (
    row for case in cases(arguments) for row in timer(case, arguments.num_tests)
  )
  command.record(arguments, name, _METHOD, rows, line)
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = command.parser("paged_mqa_logits_fp4", num_tests=20)
  parser.add_argument("--all", action="store_true")
  parser.add_argument("--sweep", action="store_true")
  parser.add_argument("--d", type=int, metavar="D")
  paged_mqa_logits.add_filters(parser)
  return parser


def cases(arguments: argparse.Namespace) -> list[Fp4PagedCase]:
  """Returns the cases that are asked for."""
  found = [Fp4PagedCase(*case) for case in paged_mqa_logits.selected(arguments)]
  if arguments.d is None:
    return found
  return [case._replace(d=arguments.d) for case in found]


def time_case(case: Fp4PagedCase, num_tests: int) -> Iterator[dict[str, Any]]:
  """Yields the row of one case, as it is chosen, beside FP8."""
  fp8_case = PagedCase(*case)
  fp8 = bench(
    paged_mqa_logits.program(fp8_case),
    *paged_mqa_logits.operands(fp8_case),
    num_tests=num_tests,
    kernel_name=_FP8_KERNEL,
  )
  fp8_us = round(fp8.run.median, 2)
  yield _timed(case, program(case), num_tests) | {"fp8_us": fp8_us}


def sweep(case: Fp4PagedCase, num_tests: int) -> Iterator[dict[str, Any]]:
  """Yields a row for each configuration."""
  for config in swept_configs(case):
    yield _timed(case, program_with(config, case), num_tests)


def swept_configs(case: Fp4PagedCase) -> list[Sm90Fp8Fp4PagedMqaLogitsConfig]:
  """Returns the legal configurations, and the first with other stages."""
  legal = list(legal_fp4_paged_mqa_configs(case.problem, H200))
  others = [
    dataclasses.replace(legal[0], num_packed_stages=stages)
    for stages in _SWEPT_STAGES
  ]
  return legal + [c for c in others if c.smem_bytes <= H200.smem_bytes]


def program(case: Fp4PagedCase) -> Any:
  """Returns the jitted function that is timed."""

  def f(q: Any, *arrays: jax.Array) -> jax.Array:
    *first, indices = (*arrays, None)[:5]
    settings = (case.width, False, case.form.out_dtype)
    return jax_deepgemm.fp8_fp4_paged_mqa_logits(
      q, *first, None, *settings, indices
    )

  return jax.jit(f)


def program_with(
  config: Sm90Fp8Fp4PagedMqaLogitsConfig, case: Fp4PagedCase
) -> Any:
  """Returns what the kernel computes in one configuration, jitted."""

  def f(
    q: Any,
    cache: jax.Array,
    weights: jax.Array,
    lens: jax.Array,
    table: jax.Array,
    *indices: jax.Array,
  ) -> jax.Array:
    with kernel_programs.chosen(sm90_fp8_fp4_paged_mqa_logits, config):
      return sm90_fp8_fp4_paged_mqa_logits.run(
        q[0],
        cache.reshape(len(cache), -1),
        weights.reshape(q[0].shape[:3]),
        lens,
        table,
        q[1],
        *indices,
        form=case.form,
        options=Options(),
        device=H200,
      )

  return jax.jit(f)


def operands(case: Fp4PagedCase) -> tuple[Any, ...]:
  """Returns q and its scales, a cache, weights, lengths, table and indices."""
  keys = jax.random.split(jax.random.key(0), 2)
  shape = (case.batch, case.next_n, case.h, case.d)
  codes, scales = _cast(jax.random.normal(keys[0], shape, jnp.bfloat16))
  cache = paged_mqa_logits.repeated_pages(keys[1], case, _cast)
  others = paged_mqa_logits.operands_of_rows(case)
  return ((codes, scales[..., 0]), cache, *others)


_cast = functools.partial(
  jax_deepgemm.per_token_cast_to_fp4,
  use_ue8m0=True,
  gran_k=32,
  use_packed_ue8m0=True,
)


def _timed(case: Fp4PagedCase, fn: Any, num_tests: int) -> dict[str, Any]:
  arguments = operands(case)
  time = bench(fn, *arguments, num_tests=num_tests, kernel_name=_KERNEL)
  config = kernel_programs.only_config(fn, *arguments)
  row = paged_mqa_logits.row_of(case, time.run, config)
  row.pop("ratio", None)  # Of FP8's bytes, which are others.
  return row


def line(row: dict[str, Any]) -> str:
  """Returns what is printed of a row."""
  text, config = paged_mqa_logits.line(row), row["config"]
  text += f"; {config['num_packed_stages']} packed stages,"
  text += f" {config['num_decode_warps']} decode"
  if "fp8_us" in row:
    ratio = row["us_median"] / row["fp8_us"]
    text += f"; FP8 {row['fp8_us']:.2f} us, {ratio:.3f}"
  return text


if __name__ == "__main__":
  sys.exit(main())
