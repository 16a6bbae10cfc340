"""Times configurations of bmk,bnk->mn on a Hopper GPU, the fastest first.

python -m benchmarks.einsum_sweep --only-b 129
python -m benchmarks.einsum_sweep --only-b 4096 --only-m 256
"""

import functools
import sys
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from benchmarks import command, einsum_cases, kernel_programs
from benchmarks.einsum_cases import EinsumCase
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_batched_k_bf16_gemm import (
  BatchedKBf16GemmProblem,
  Sm90BatchedKBf16GemmConfig,
  estimate_batched_k_seconds,
  legal_batched_k_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_batched_k_bf16_gemm
from jax_deepgemm.testing import bench

_KERNEL = "sm90_batched_k"


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("einsum_sweep", num_tests=10, writes_table=True)
  parser.add_argument("--only-b", type=int, metavar="B")
  parser.add_argument("--only-m", type=int, metavar="M")
  parser.add_argument("--num-configs", type=int, default=24, metavar="N")
  arguments = parser.parse_args(argv)
  device = command.need_hopper()
  for case in einsum_cases.long_k_cases():
    is_wanted = arguments.only_b in (None, case.b)
    is_wanted = is_wanted and arguments.only_m in (None, case.m)
    if is_wanted and case.out_dtype == "bfloat16":
      sweep(case, device, arguments.num_configs, arguments.num_tests)
  return 0


def sweep(
  case: EinsumCase, device: Device, num_configs: int, num_tests: int
) -> None:
  """Prints the times of the configurations that are estimated to be fastest."""
  a, b = einsum_cases.operands(case)
  lines = []
  for config in likely_configs(case, device, num_configs):
    fn = jax.jit(functools.partial(run_with, config, device))
    result = bench(fn, a, b, num_tests=num_tests)
    kernel = sum(
      x.median for name, x in result.kernels.items() if _KERNEL in name
    )
    lines.append((kernel, result.run.median, config))
  print(case)
  for kernel, total, config in sorted(lines, key=lambda line: line[0]):
    g = config.gemm
    print(
      f"  kernel {kernel:8.2f} us, all {total:8.2f}: {config.num_parts} parts,"
      f" {g.num_math_warpgroups} x {g.num_slabs} x 64 x {g.block_n}, cluster"
      f" {g.cluster_m} x {g.cluster_n}, {g.num_stages} stages of"
      f" {g.stage_k_blocks}, {g.num_store_slots} slots",
      flush=True,
    )


def likely_configs(
  case: EinsumCase, device: Device, num_configs: int
) -> list[Sm90BatchedKBf16GemmConfig]:
  """Returns the configurations with the least estimates, one way to store."""
  problem = BatchedKBf16GemmProblem(case.m, case.n, case.k, case.b)
  configs = [
    config
    for config in legal_batched_k_configs(problem, device)
    if config.gemm.num_store_slots == 1
  ]
  estimate = functools.partial(estimate_batched_k_seconds, problem)
  return sorted(configs, key=lambda c: estimate(c, device))[:num_configs]


def run_with(
  config: Sm90BatchedKBf16GemmConfig,
  device: Device,
  a: jax.Array,
  b: jax.Array,
) -> jax.Array:
  """Returns what the kernel computes in one configuration."""
  k_run = a.shape[2]
  # As the primitive has them: [1, rows, k].
  a, b = (x.swapaxes(0, 1).reshape(1, x.shape[1], -1) for x in (a, b))
  with kernel_programs.chosen(sm90_batched_k_bf16_gemm, config):
    return sm90_batched_k_bf16_gemm.run(
      a,
      b,
      None,
      k_run=k_run,
      out_dtype=jnp.dtype(jnp.bfloat16),
      options=Options(),
      device=device,
    )


if __name__ == "__main__":
  sys.exit(main())
