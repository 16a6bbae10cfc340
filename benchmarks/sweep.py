"""Times many configurations per case and writes the table of the fastest.

python -m benchmarks.sweep                    all cases of the dense benchmark
python -m benchmarks.sweep --only-m 1         those with m = 1
python -m benchmarks.sweep --num-forms 20     more of the legal ones

Writes benchmarks/results/sweep_fp8.json, which the cost model is fitted to, and
jax_deepgemm/heuristics/tuned_sm90.json, which the heuristics read. On an H100
both have a name of their own, ending in _h100.
"""

import collections
import dataclasses
import heapq
import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import command, dense, provenance, results
from benchmarks.results import Case
from jax_deepgemm.heuristics import tuned
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import Sm90Fp8GemmSplitConfig
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
)
from jax_deepgemm.jit import Recipe
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  kernel_library,
  launch,
  sm90_fp8_gemm,
  sm90_fp8_gemm_split,
  sm90_fp8_gemm_swapped,
)
from jax_deepgemm.testing.kernel_times import PAUSE_SECONDS, profile_times

Config = Sm90Fp8GemmConfig | Sm90Fp8GemmSwappedConfig | Sm90Fp8GemmSplitConfig

_TABLES = pathlib.Path(tuned.__file__).parent
METHOD = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run, a pause before each configuration; normal random operands"
)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("sweep", num_tests=12, writes_table=True)
  parser.add_argument("--num-forms", type=int, default=8, metavar="N")
  parser.add_argument("--only-m", type=int, metavar="M")
  arguments = parser.parse_args(argv)
  device = command.need_hopper()
  table = table_of(tuned.TABLE, device)
  cases = [
    case
    for case in results.dense_cases()
    if arguments.only_m in (None, case[0])
  ]
  candidates = {
    case: candidates_of(problem_of(case), device, arguments.num_forms)
    for case in cases
  }
  compile_all(
    sm90_fp8_gemm.recipe(config)
    for configs in candidates.values()
    for config in configs
  )
  rows = []
  for case, configs in candidates.items():
    rows += time_case(case, configs, device, arguments.num_tests)
  fields = provenance.collect(METHOD, arguments.commit)
  results.write(result_of("sweep_fp8", device), fields, rows)
  write_table(rows, table, name_of)
  return 0


def table_of(file_name: str, device: Device) -> pathlib.Path:
  """Returns the heuristics' table for `device`; ends if there is none.

  Args:
    file_name: of the table of an H200.
    device: that was measured.
  """
  file = tuned.file_of(file_name, device)
  if file is None:
    raise SystemExit(
      f"error: the package has no table for {device.name} with"
      f" {device.num_sms} multiprocessors; python -m jax_deepgemm tune writes"
      " one of yours"
    )
  return _TABLES / file


def result_of(name: str, device: Device) -> pathlib.Path:
  """Returns where a sweep's times go, apart for each class of GPUs."""
  file = tuned.file_of(f"{name}.json", device) or f"{name}_other.json"
  return results.RESULTS / file


def problem_of(case: Case) -> Fp8GemmProblem:
  return Fp8GemmProblem(*case)


def candidates_of(
  problem: Fp8GemmProblem, device: Device, count: int
) -> list[Sm90Fp8GemmConfig]:
  """Returns the `count` forms with the least estimates, stored in any way.

  The cost model does not tell ways of storing from each other.
  """
  forms: dict[Any, list[Sm90Fp8GemmConfig]] = collections.defaultdict(list)
  for config in legal_configs(problem, device):
    forms[_without_stores(config)].append(config)
  cheapest = heapq.nsmallest(
    count,
    forms.values(),
    key=lambda configs: estimate_seconds(problem, configs[0], device),
  )
  return [config for configs in cheapest for config in configs]


def _without_stores(config: Sm90Fp8GemmConfig) -> Sm90Fp8GemmConfig:
  return dataclasses.replace(
    config, num_stages=0, num_store_slots=0, num_early_boxes=0
  )


def few_alike(configs: Iterable[Any], *fields: str) -> list[Any]:
  """Returns the configurations, of those that share `fields` the first two."""
  alike: collections.Counter[tuple[Any, ...]] = collections.Counter()
  found = []
  for config in configs:
    likeness = tuple(getattr(config, name) for name in fields)
    alike[likeness] += 1
    if alike[likeness] <= 2:
      found.append(config)
  return found


def without_hint(configs: Iterable[Any]) -> list[Any]:
  """Returns the configurations as they are without a hint to L2."""
  return [dataclasses.replace(config, evict_first=False) for config in configs]


def compile_all(recipes: Iterable[Recipe]) -> None:
  library = kernel_library.library()
  recipes = set(recipes)
  for recipe in recipes:
    library.prefetch(recipe)
  for recipe in recipes:
    library.resolve(recipe)


def recipe_of(config: Config) -> Recipe:
  if isinstance(config, Sm90Fp8GemmSwappedConfig):
    return sm90_fp8_gemm_swapped.recipe(config)
  if isinstance(config, Sm90Fp8GemmSplitConfig):
    return sm90_fp8_gemm_split.recipe(config)
  return sm90_fp8_gemm.recipe(config)


def time_case(
  case: Case,
  configs: Sequence[Config],
  device: Device,
  num_tests: int,
  pause_seconds: float = PAUSE_SECONDS,
) -> list[dict[str, Any]]:
  """Returns one row a configuration, the fastest first."""
  x, weight = dense.operands(case)
  a, sfa = jax_deepgemm.per_token_cast_to_fp8(x)
  b, sfb = jax_deepgemm.per_block_cast_to_fp8(weight)
  sfa = jax_deepgemm.get_mn_major_tma_aligned_tensor(sfa)
  operands = (a[None], sfa[None], b[None], sfb[None])
  programs = [program(problem_of(case), config, device) for config in configs]
  for run in programs:
    jax.block_until_ready(run(*operands))
  times = profile_times(programs, operands, num_tests, pause_seconds)
  rows = [
    {
      "case": dict(zip(("m", "n", "k"), case, strict=True)),
      **timed(runs),
      "key": list(tuned.key_of(config)),
      "config": dataclasses.asdict(config),
    }
    for config, runs in zip(configs, times, strict=True)
  ]
  rows.sort(key=lambda row: row["us_median"])
  best = rows[0]
  print(f"{case}: {best['us_median']:.2f} us with {best['key']}", flush=True)
  return rows


def timed(runs: Sequence[float]) -> dict[str, float]:
  """Returns what a row says of the times of one configuration."""
  return {
    "us_median": round(statistics.median(runs), 2),
    "us_min": round(min(runs), 2),
  }


def program(
  problem: Fp8GemmProblem, config: Config, device: Device
) -> Callable[..., jax.Array]:
  """Returns a jitted launch of `config` over operands in the kernel's form."""
  if isinstance(config, Sm90Fp8GemmSwappedConfig):
    call = sm90_fp8_gemm_swapped.kernel_call(problem, config, Options())
  elif isinstance(config, Sm90Fp8GemmSplitConfig):
    call = sm90_fp8_gemm_split.kernel_call(problem, config, Options())
  else:
    call = sm90_fp8_gemm.kernel_call(problem, config, device, Options())
  result = jax.ShapeDtypeStruct((1, problem.m, problem.n), jnp.bfloat16)
  return jax.jit(lambda *operands: launch.call((call,), operands, [result])[0])


def name_of(row: dict[str, Any]) -> str:
  """Returns the row's name in the table."""
  return tuned.problem_name(problem_of(results.case_of(row)))


def write_table(
  rows: Iterable[dict[str, Any]],
  table: pathlib.Path,
  name_of: Callable[[dict[str, Any]], str],
) -> None:
  """Puts the fastest configuration of each case into the table."""
  document = results.read(table)
  fastest: dict[str, dict[str, Any]] = {}
  for row in rows:
    name = name_of(row)
    if name not in fastest or row["us_median"] < fastest[name]["us_median"]:
      fastest[name] = row
  document["configs"] |= {name: row["key"] for name, row in fastest.items()}
  lines = ",\n".join(
    f"  {json.dumps(name)}: {json.dumps(key)}"
    for name, key in sorted(document["configs"].items())
  )
  table.write_text(
    f'{{\n "about": {json.dumps(document["about"])},\n'
    f' "configs": {{\n{lines}\n }}\n}}\n',
    encoding="utf-8",
  )


if __name__ == "__main__":
  sys.exit(main())
