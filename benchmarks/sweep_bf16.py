"""Times many BF16 configurations per case and writes the table of the fastest.

python -m benchmarks.sweep_bf16 --without-c --only-m 4096 --num-forms 12
python -m benchmarks.sweep_bf16 --without-c --only-m 1 --write-table

With up to 256 rows half of the configurations are those with swapped operands.
Writes benchmarks/results/sweep_bf16.json, which a cost model can be fitted to;
with --write-table also jax_deepgemm/heuristics/tuned_sm90_bf16.json, which the
heuristics read. On an H100 both have a name of their own, ending in _h100.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import command, dense_bf16, provenance, results, sweep
from jax_deepgemm.heuristics import tuned_bf16
from jax_deepgemm.heuristics.bf16_gemm import Config, estimate
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Bf16GemmProblem,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.jit import Recipe
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  launch,
  sm90_bf16_gemm,
  sm90_bf16_gemm_swapped,
)
from jax_deepgemm.testing.kernel_times import profile_times

_NUM_WITHOUT_HINT = 2


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("sweep_bf16", num_tests=12, writes_table=True)
  parser.add_argument("--num-forms", type=int, default=16, metavar="N")
  parser.add_argument("--write-table", action="store_true")
  dense_bf16.add_filters(parser)
  arguments = parser.parse_args(argv)
  device = command.need_hopper()
  table = sweep.table_of(tuned_bf16.TABLE, device)
  candidates = {
    problem: candidates_of(problem, device, arguments.num_forms)
    for problem in dense_bf16.filtered(results.bf16_problems(), arguments)
  }
  sweep.compile_all(
    recipe_of(config) for configs in candidates.values() for config in configs
  )
  fields = provenance.collect(sweep.METHOD, arguments.commit)
  rows = []
  for problem, configs in candidates.items():
    rows += time_problem(problem, configs, device, arguments.num_tests)
    results.write(sweep.result_of("sweep_bf16", device), fields, rows)
  if arguments.write_table:
    sweep.write_table(rows, table, _name_of)
  return 0


def candidates_of(
  problem: Bf16GemmProblem, device: Device, count: int
) -> list[Config]:
  """Returns `count` configurations, those with the least estimates.

  Half of them have swapped operands, where there are such. Of those that differ
  in staging buffers or the hint to L2 alone, the one of least estimate; but the
  first are there without a hint too, of which the cost model knows nothing.
  """
  swapped = _forms(problem, device, legal_swapped_configs(problem, device))
  swapped = swapped[: count // 2 - _NUM_WITHOUT_HINT]
  swapped += sweep.without_hint(swapped[:_NUM_WITHOUT_HINT])
  plain = _forms(problem, device, legal_configs(problem, device))
  return [*plain[: count - len(swapped)], *swapped]


def _forms(
  problem: Bf16GemmProblem, device: Device, configs: Iterable[Config]
) -> list[Any]:
  """Returns those that differ in more than that, the cheapest first."""
  costs = {config: estimate(problem, config, device) for config in configs}
  forms: dict[Any, Config] = {}
  for config in sorted(costs, key=costs.__getitem__):
    if isinstance(config, Sm90Bf16GemmSwappedConfig):
      form = dataclasses.replace(config, evict_first=True)
    else:
      form = dataclasses.replace(config, num_stages=0, num_store_slots=0)
    forms.setdefault(form, config)
  return list(forms.values())


def recipe_of(config: Config) -> Recipe:
  if isinstance(config, Sm90Bf16GemmSwappedConfig):
    return sm90_bf16_gemm_swapped.recipe(config)
  return sm90_bf16_gemm.recipe(config)


def time_problem(
  problem: Bf16GemmProblem,
  configs: Sequence[Config],
  device: Device,
  num_tests: int,
) -> list[dict[str, Any]]:
  """Returns one row a configuration, the fastest first."""
  arrays = [x[None] for x in dense_bf16.operands(problem)]
  programs = [program(problem, config, device) for config in configs]
  for run in programs:
    jax.block_until_ready(run(*arrays))
  times = profile_times(programs, arrays, num_tests)
  rows = [
    {
      "case": {"m": problem.m, "n": problem.n, "k": problem.k},
      "problem": dataclasses.asdict(problem),
      **sweep.timed(runs),
      "key": list(tuned_bf16.key_of(config)),
      "config": dataclasses.asdict(config),
    }
    for config, runs in zip(configs, times, strict=True)
  ]
  rows.sort(key=lambda row: row["us_median"])
  best = rows[0]
  print(f"{_name_of(best)}: {best['us_median']:.2f} us with {best['key']}")
  return rows


def program(
  problem: Bf16GemmProblem, config: Config, device: Device
) -> Callable[..., jax.Array]:
  """Returns a jitted launch of `config` over operands in the kernel's form."""
  if isinstance(config, Sm90Bf16GemmSwappedConfig):
    call = sm90_bf16_gemm_swapped.kernel_call(problem, config, Options())
  else:
    call = sm90_bf16_gemm.kernel_call(problem, config, device, Options())
  dtype = jnp.float32 if problem.float32_out else jnp.bfloat16
  result = jax.ShapeDtypeStruct((1, problem.m, problem.n), dtype)
  aliases = {2: 0} if problem.with_c else {}
  return jax.jit(lambda *x: launch.call((call,), x, [result], aliases)[0])


def _name_of(row: dict[str, Any]) -> str:
  return tuned_bf16.problem_name(Bf16GemmProblem(**row["problem"]))


if __name__ == "__main__":
  sys.exit(main())
