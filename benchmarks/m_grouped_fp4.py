"""Times groups of few rows with FP4 weights beside those with FP8 weights.

python -m benchmarks.m_grouped_fp4                  32 and 6 masked groups
python -m benchmarks.m_grouped_fp4 --only-m 20      one size: 1, 20 or 48 rows
python -m benchmarks.m_grouped_fp4 --only-groups 6  one number of groups
python -m benchmarks.m_grouped_fp4 --num-forms 12   more of the legal forms

Of each case the chosen form, and that of the kernel for many rows; the weights
are those of the masked cases of benchmarks.m_grouped.
"""

import dataclasses
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import command, m_grouped_cases, sweep
from benchmarks.dense_fp4 import to_fp4
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm import (
  Config,
  choose_grouped,
  estimate,
)
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_problem import (
  MGroupedFp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_swapped import (
  legal_grouped_swapped_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
)
from jax_deepgemm.jit import Recipe
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  launch,
  sm90_m_grouped_fp8_fp4_gemm,
  sm90_m_grouped_fp8_fp4_gemm_swapped,
)
from jax_deepgemm.testing import bench
from jax_deepgemm.testing.kernel_times import profile_times

_ROWS = (1, 20, 48)
_MAX_M = 128  # Rows that a group has room for.
_WEIGHT_BYTES = 17 / 32  # Of an element of B, its share of an exponent too.
_METHOD = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run; normal random operands; sizes of masked groups within 0.7"
  " to 1.3 of m; fp8_us is m_grouped_fp8_gemm_nt_masked of the same shapes in"
  " the same run; floor_us is reading A and B and writing D at the device's"
  " bandwidth"
)
_FORM = "{block_m} rows, {num_math_warpgroups}x64 columns, {stage_k_blocks} K"
_FORM += " blocks a stage, {mma_groups} groups a round, {ctas_per_sm} CTAs/SM,"
_FORM += " {num_stages} stages"


class Case(NamedTuple):
  """Groups of about m rows each, times the `[n, k]` of their group."""

  num_groups: int
  m: int
  n: int
  k: int

  @property
  def sizes(self) -> list[int]:
    """Rows of each group."""
    draw = random.Random(0)
    least, most = round(0.7 * self.m), round(1.3 * self.m)
    return [draw.randint(least, most) for _ in range(self.num_groups)]

  @property
  def problem(self) -> MGroupedFp8Fp4GemmProblem:
    """What the kernel's configuration is chosen for."""
    return MGroupedFp8Fp4GemmProblem(
      m=self.num_groups * _MAX_M,
      n=self.n,
      k=self.k,
      num_groups=self.num_groups,
      expected_m=self.m,
      row_alignment=_MAX_M,
    )

  @property
  def num_bytes(self) -> float:
    """Bytes that must move."""
    rows = sum(self.sizes)
    weights = self.num_groups * self.n * self.k * _WEIGHT_BYTES
    return weights + rows * (self.k + 2 * self.n)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("m_grouped_fp4", num_tests=20)
  parser.add_argument("--only-m", type=int, metavar="M")
  parser.add_argument("--only-groups", type=int, metavar="G")
  parser.add_argument("--num-forms", type=int, default=0, metavar="N")
  arguments = parser.parse_args(argv)
  device = command.need_hopper()
  candidates = {
    case: forms(case.problem, device, arguments.num_forms)
    for case in cases()
    if arguments.only_m in (None, case.m)
    and arguments.only_groups in (None, case.num_groups)
  }
  sweep.compile_all(
    recipe_of(config) for configs in candidates.values() for config in configs
  )
  rows = (
    row
    for case, configs in candidates.items()
    for row in time_case(case, configs, device, arguments.num_tests)
  )
  # What is printed is of a case, not of a row.
  command.record(arguments, "m_grouped_fp4", _METHOD, rows, None)
  return 0


def cases() -> list[Case]:
  """Returns every weight of the masked cases with each number of rows."""
  weights = dict.fromkeys(
    (len(case.sizes), case.n, case.k)
    for case in m_grouped_cases.cases("masked")
  )
  return [Case(g, m, n, k) for m in _ROWS for g, n, k in weights]


def forms(
  problem: MGroupedFp8Fp4GemmProblem, device: Device, count: int
) -> list[Config]:
  """Returns the chosen form, that for many rows, and `count` more.

  These are the cheapest for few rows in the cost model's eyes, but not alike:
  of those with the same tile and stage there are two.
  """
  chosen = [
    choose_grouped(problem, device),
    choose_grouped(problem, device, batch_invariant=True),
  ]
  legal = sorted(
    legal_grouped_swapped_configs(problem, device),
    key=lambda config: estimate(problem, config, device),
  )
  likeness = ("block_m", "num_math_warpgroups", "stage_k_blocks")
  more = sweep.few_alike(legal, *likeness)
  return list(dict.fromkeys(chosen + more[:count]))


def recipe_of(config: Config) -> Recipe:
  if isinstance(config, Sm90Fp8Fp4GemmSwappedConfig):
    return sm90_m_grouped_fp8_fp4_gemm_swapped.recipe(config)
  return sm90_m_grouped_fp8_fp4_gemm.recipe(config)


def program(
  problem: MGroupedFp8Fp4GemmProblem, config: Config, device: Device
) -> Callable[..., jax.Array]:
  """Returns a jitted launch of `config` over operands in the kernel's form."""
  call = sm90_m_grouped_fp8_fp4_gemm.kernel_call(
    problem, config, device, Options(), layout="masked", fills=False
  )
  result = jax.ShapeDtypeStruct((problem.m, problem.n), jnp.bfloat16)
  return jax.jit(lambda *operands: launch.call((call,), operands, [result])[0])


def operands(case: Case) -> tuple[Any, Any, Any, jax.Array]:
  """Returns A, B in FP8, B in FP4 and the sizes, as the functions take them."""
  x_key, w_key = jax.random.split(jax.random.key(0))
  x = jax.random.normal(x_key, (case.num_groups, _MAX_M, case.k), jnp.bfloat16)
  w = jax.random.normal(w_key, (case.num_groups, case.n, case.k), jnp.bfloat16)
  return (
    jax_deepgemm.per_token_cast_to_fp8(x),
    jax_deepgemm.per_block_cast_to_fp8(w),
    jax.jit(to_fp4)(w),
    jnp.asarray(case.sizes, jnp.int32),
  )


def for_the_kernel(a: Any, fp4: Any, sizes: jax.Array) -> list[jax.Array]:
  """Returns the operands of `program`."""
  scales = a[1].reshape(1, -1, a[1].shape[-1])
  sfa = jax_deepgemm.get_mn_major_tma_aligned_tensor(scales)
  return [a[0].reshape(1, -1, a[0].shape[-1]), sfa, *fp4, sizes]


def time_case(
  case: Case, configs: Sequence[Config], device: Device, num_tests: int
) -> list[dict[str, Any]]:
  """Returns one row a configuration, the chosen one first, and prints them."""
  a, fp8, fp4, sizes = operands(case)
  inputs = for_the_kernel(a, fp4, sizes)
  programs = [program(case.problem, config, device) for config in configs]
  for run in programs:
    jax.block_until_ready(run(*inputs))
  times = profile_times(programs, inputs, num_tests, 0)
  fp8_time = bench(
    fp8_product(case), a, fp8, sizes, num_tests=num_tests, kernel_name="sm90_"
  )
  rows = [
    {
      "case": case._asdict(),
      **sweep.timed(runs),
      "estimate_us": _estimate_us(case, config, device),
      "floor_us": round(case.num_bytes / device.memory_bandwidth * 1e6, 1),
      "fp8_us": round(fp8_time.run.median, 2),
      "chosen": config == configs[0],
      "config": dataclasses.asdict(config),
    }
    for config, runs in zip(configs, times, strict=True)
  ]
  print_case(rows)
  return rows


def fp8_product(case: Case) -> Callable[..., jax.Array]:
  """Returns the jitted product with weights in FP8."""

  @jax.jit
  def product(a: Any, b: Any, sizes: jax.Array) -> jax.Array:
    return jax_deepgemm.m_grouped_fp8_gemm_nt_masked(
      a, b, sizes, expected_m=case.m
    )

  return product


def _estimate_us(case: Case, config: Config, device: Device) -> float:
  return round(estimate(case.problem, config, device) * 1e6, 1)


def print_case(rows: Sequence[dict[str, Any]]) -> None:
  case, first = Case(**rows[0]["case"]), rows[0]
  print(
    f"{case.num_groups} x {case.m} rows x {case.n} x {case.k}: floor"
    f" {first['floor_us']:.1f} us, FP8 weights {first['fp8_us']:.2f} us"
  )
  for row in rows:
    mark = "chosen" if row["chosen"] else "      "
    print(
      f"  {mark} {row['us_median']:8.2f} us (estimate"
      f" {row['estimate_us']:.1f}): {describe(row['config'])}",
      flush=True,
    )


def describe(config: dict[str, Any]) -> str:
  """Returns a form as text."""
  if "mma_groups" in config:
    return _FORM.format(**config)
  rows = 64 * config["num_math_warpgroups"] * config["num_slabs"]
  return f"for many rows, {rows} x {config['block_n']}"


if __name__ == "__main__":
  sys.exit(main())
