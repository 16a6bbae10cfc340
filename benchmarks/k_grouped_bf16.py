"""Times the K-grouped BF16 GEMM beside XLA's ragged dot of the same operands.

What `python -m benchmarks.k_grouped --dtype bf16` runs; the cases are those of
FP8.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

import jax_deepgemm
from benchmarks import kernel_programs, results
from benchmarks.results import KGroupedCase
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_k_grouped_bf16_gemm import (
  KGroupedBf16GemmProblem,
  Sm90KGroupedBf16GemmConfig,
  legal_k_grouped_configs,
)
from jax_deepgemm.k_grouped_packing import group_ranges
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_k_grouped_bf16_gemm
from jax_deepgemm.testing import bench

_KERNEL = "sm90_k_grouped_bf16"
# Warpgroups, slabs of each, columns.
_TILES = ((2, 1, 192), (3, 1, 128), (2, 1, 128), (2, 2, 64))


def time_kernel(
  case: KGroupedCase,
  num_tests: int,
  *,
  with_c: bool,
  flush_l2: bool = True,
  yardstick: bool = True,
) -> Iterator[dict[str, Any]]:
  """Yields the row of one case: the kernel alone, without a copy of c."""
  arguments = operands(case, with_c)
  time = bench(
    gemm,
    *arguments,
    num_tests=num_tests,
    flush_l2=flush_l2,
    kernel_name=_KERNEL,
  )
  row = row_of(case, time.run, gemm, arguments)
  if yardstick:
    # All of its kernels: masks, dots and the sum with c.
    theirs = bench(ragged_dot, *arguments, num_tests=num_tests)
    row["ragged_dot_us"] = round(theirs.run.median, 2)
  yield row


def sweep(
  case: KGroupedCase, num_tests: int, *, with_c: bool
) -> Iterator[dict[str, Any]]:
  """Yields a row for each likely configuration."""
  x, y, sizes, *c = operands(case, with_c)
  ranges = group_ranges(sizes, x.shape[0], use_psum_layout=False)
  arguments = (x, y, *ranges, *c)
  for config in likely_configs(case, with_c):
    fn = jax.jit(functools.partial(run_with, config))
    time = bench(fn, *arguments, num_tests=num_tests, kernel_name=_KERNEL)
    yield row_of(case, time.run, fn, arguments)


def likely_configs(
  case: KGroupedCase, with_c: bool
) -> list[Sm90KGroupedBf16GemmConfig]:
  """Returns what a sweep tries, uncut: large tiles, clusters, ways to store."""
  problem = KGroupedBf16GemmProblem(
    case.m, case.n, sum(case.sizes), len(case.sizes), with_c
  )
  return [
    config
    for config in legal_k_grouped_configs(problem, H200)
    if config.num_parts == 1
    and (
      config.gemm.num_math_warpgroups,
      config.gemm.num_slabs,
      config.gemm.block_n,
    )
    in _TILES
  ]


def run_with(
  config: Sm90KGroupedBf16GemmConfig, *arguments: jax.Array
) -> jax.Array:
  """Returns what the kernel computes in one configuration."""
  with kernel_programs.chosen(sm90_k_grouped_bf16_gemm, config):
    return sm90_k_grouped_bf16_gemm.run(
      *arguments,
      out_dtype=jnp.dtype(jnp.float32),
      options=Options(),
      device=H200,
    )


def operands(case: KGroupedCase, with_c: bool) -> tuple[jax.Array, ...]:
  """Returns normal random `[sum_k, m]`, `[sum_k, n]`, sizes and perhaps c."""
  x_key, y_key, c_key = jax.random.split(jax.random.key(0), 3)
  sum_k = sum(case.sizes)
  x = jax.random.normal(x_key, (sum_k, case.m), jnp.bfloat16)
  y = jax.random.normal(y_key, (sum_k, case.n), jnp.bfloat16)
  sizes = jnp.asarray(case.sizes, jnp.int32)
  if not with_c:
    return x, y, sizes
  shape = (len(case.sizes), case.m, case.n)
  return x, y, sizes, jax.random.normal(c_key, shape, jnp.float32)


@jax.jit
def gemm(*arguments):
  return jax_deepgemm.k_grouped_bf16_gemm_tn_contiguous(*arguments)


@jax.jit
def ragged_dot(x, y, sizes, c=None):
  dimensions = lax.RaggedDotDimensionNumbers(
    dot_dimension_numbers=(((0,), (0,)), ((), ())),
    lhs_ragged_dimensions=[0],
    rhs_group_dimensions=[],
  )
  d = lax.ragged_dot_general(
    x, y, sizes, dimensions, preferred_element_type=jnp.float32
  )
  return d if c is None else c + d


def row_of(
  case: KGroupedCase,
  times: Any,
  fn: Callable[..., Any],
  arguments: tuple[jax.Array, ...],
) -> dict[str, Any]:
  """Returns a row of results; TFLOP/s are those of the groups' own tokens."""
  config = kernel_programs.first_config(fn, *arguments)
  row = results.row((case.m, case.n, sum(case.sizes)), times, config)
  row["case"]["num_groups"] = len(case.sizes)
  return row
