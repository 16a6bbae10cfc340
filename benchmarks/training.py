"""Times forward and backward passes, bfloat16 in to bfloat16 out.

python -m benchmarks.training                    every operation
python -m benchmarks.training --only moe_mlp     one of them

Casts, gradients of all operands and what XLA adds are included: everything
that a training step pays for the operation. Each stands beside the same in
bfloat16, XLA's and, where there is one, this package's.
"""

import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import command
from benchmarks.program_times import Times, profiled

_BY = {
  "dot_general": ("fp8", "fp8_recast", "xla"),
  "ragged_dot": ("fp8", "fp8_recast", "bf16", "xla"),
  "moe_mlp": ("fp8", "bf16"),
}
_METHOD = (
  "device time of all kernels of the jitted forward and backward pass from"
  " JAX's profiler, caches flushed by a write of up to 8 GB before each run;"
  " kernel_us is of the package's kernels; normal random operands, groups of"
  " one size; TFLOP/s counts the products of both passes"
)
_TO_LAST_AND_FIRST = (((1,), (0,)), ((), ()))


class Case(NamedTuple):
  """One operation of one size.

  Attributes:
    operation: of `_BY`.
    num_groups: 1 for dot_general.
    m: rows of a group.
    n: columns of the result, or of gate and of up each.
    k: columns of x.
    by: what computes it: "fp8", "fp8_recast" (operands are kept in bfloat16
      and cast again in the backward pass), "bf16" or "xla".
  """

  operation: str
  num_groups: int
  m: int
  n: int
  k: int
  by: str

  @property
  def flops(self) -> int:
    """Operations of the products, forward and backward."""
    products = 9 if self.operation == "moe_mlp" else 3
    return 2 * products * self.num_groups * self.m * self.n * self.k


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("training", num_tests=10)
  parser.add_argument("--only", choices=_BY)
  arguments = parser.parse_args(argv)
  command.need_hopper()
  wanted = [c for c in cases() if arguments.only in (None, c.operation)]
  rows = timed(wanted, arguments.num_tests)
  command.record(arguments, "training", _METHOD, rows, line)
  return 0


def timed(wanted: Sequence[Case], num_tests: int) -> Iterator[dict[str, Any]]:
  """Yields a row for each case; those of one size are timed together."""
  for _, group in itertools.groupby(wanted, key=lambda case: case[:5]):
    same = list(group)
    calls = [functools.partial(program(c), *operands(c)) for c in same]
    yield from rows_of(same, profiled(calls, num_tests))


def cases() -> list[Case]:
  """Returns all cases; those of one size lie together, fp8 first."""
  dense = [
    (8192, 4096, 7168),
    # Layers of DeepSeek-V3.
    (4096, 2112, 7168),
    (4096, 7168, 2048),
    (4096, 24576, 1536),
    (4096, 7168, 16384),
  ]
  groups = [(8, 4096), (32, 1024)]
  sizes = [
    *(("dot_general", 1, *shape) for shape in dense),
    *(("ragged_dot", *group, 4096, 7168) for group in groups),
    *(("moe_mlp", *group, 2048, 7168) for group in groups),
  ]
  return [Case(*size, by) for size in sizes for by in _BY[size[0]]]


def operands(case: Case) -> tuple[jax.Array, ...]:
  """Returns dy, x, the weights and, for groups, their sizes."""
  keys = iter(jax.random.split(jax.random.key(0), 5))

  def normal(*shape: int) -> jax.Array:
    return jax.random.normal(next(keys), shape, jnp.bfloat16)

  groups, m, n, k = case[1:5]
  sizes = jnp.full(groups, m, jnp.int32)
  x = normal(groups * m, k)
  if case.operation == "dot_general":
    return normal(m, n), x, normal(k, n)
  if case.operation == "ragged_dot":
    dy, weight = normal(groups * m, n), normal(groups, k, n)
    # Our product in bfloat16 takes K last, as it is fastest.
    return dy, x, weight.mT if case.by == "bf16" else weight, sizes
  weights = [normal(groups, k, 2 * n), normal(groups, n, k)]
  return normal(groups * m, k), x, *weights, sizes


def program(case: Case) -> Callable[..., Any]:
  """Returns dy, operands -> (result, gradients), jitted."""
  run = functools.partial(
    _run, operation(case), case.operation != "dot_general"
  )
  return jax.jit(run)


def _run(
  function: Callable[..., jax.Array],
  has_sizes: bool,
  dy: jax.Array,
  *operands: jax.Array,
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
  arrays, sizes = operands, ()
  if has_sizes:
    *arrays, last = operands
    sizes = (last,)
  y, pull = jax.vjp(lambda *arrays: function(*arrays, *sizes), *arrays)
  return y, pull(dy)


def operation(case: Case) -> Callable[..., jax.Array]:
  """Returns what computes the case, of operands but dy."""
  residuals = "bf16" if case.by == "fp8_recast" else "fp8"
  match case.operation, case.by:
    case "dot_general", "xla":
      return lambda x, w: jax.lax.dot_general(x, w, _TO_LAST_AND_FIRST)
    case "dot_general", _:
      return lambda x, w: jax_deepgemm.fp8_dot_general(
        x, w, _TO_LAST_AND_FIRST, residuals=residuals
      )
    case "ragged_dot", "xla":
      return jax.lax.ragged_dot
    case "ragged_dot", "bf16":
      return jax_deepgemm.m_grouped_bf16_gemm_nt_ragged
    case "ragged_dot", _:
      return functools.partial(jax_deepgemm.fp8_ragged_dot, residuals=residuals)
  dtype = jnp.float8_e4m3fn if case.by == "fp8" else jnp.bfloat16
  return lambda x, gate_up, down, sizes: jax_deepgemm.moe_mlp(
    x, gate_up, None, down, sizes, compute_dtype=dtype
  )


def rows_of(
  same: Sequence[Case], times: Sequence[Times]
) -> list[dict[str, Any]]:
  """Returns rows of cases that differ in what computes them alone."""
  fastest = times[0].total
  return [
    {
      "case": case._asdict(),
      "us": round(time.total, 1),
      "kernel_us": round(time.kernel, 1),
      "tflops": round(case.flops / time.total / 1e6, 1),
      "over_fp8": round(time.total / fastest, 3),
    }
    for case, time in zip(same, times, strict=True)
  ]


def line(row: dict[str, Any]) -> str:
  """Returns a row as text."""
  case = Case(**row["case"])
  return (
    f"{case.operation:11} {case.num_groups:3} x {case.m:5} {case.n:5} x"
    f" {case.k:5} {case.by:4}: {row['us']:9.1f} us (kernels"
    f" {row['kernel_us']:9.1f}), {row['tflops']:6.1f} TFLOP/s, fp8 is"
    f" {row['over_fp8']:6.3f} times as fast"
  )


if __name__ == "__main__":
  sys.exit(main())
