"""Times the FP8 GEMM of operands that lie in other ways than K last.

python -m benchmarks.layouts                 m = 4096 and 128
python -m benchmarks.layouts --only-m 128    one of them

Hopper multiplies FP8 along the contiguous dimension only, so what lies K first
is transposed by XLA before. Each layout stands beside nt of the same sizes.
"""

import concurrent.futures
import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import command, dense
from benchmarks.program_times import Times, profiled

_LAYOUTS = ("nt", "nn", "tn", "tt")
_KINDS = ("quantised", "bfloat16")
_MS = (4096, 128)
_SHAPES = ((4096, 7168), (7168, 2048), (24576, 1536), (7168, 16384))
_NUM_THREADS = 8
_METHOD = (
  "device time of all kernels of the jitted function from JAX's profiler,"
  " caches flushed by a write of up to 8 GB before each run; kernel_us is of"
  " the package's kernels: the GEMM, and casts of bfloat16 operands;"
  " transposes_us is what the layout takes longer than nt, transposes_gbps the"
  " bytes of what lies K first, read and written, over that"
)


class Case(NamedTuple):
  """A product of operands in one layout.

  Attributes:
    kind: "quantised" with scales, or "bfloat16", which are cast inside.
  """

  m: int
  n: int
  k: int
  layout: str
  kind: str

  @property
  def transposed_bytes(self) -> int:
    """Bytes of what lies K first."""
    a = self.m * self.k if self.layout[0] == "t" else 0
    b = self.n * self.k if self.layout[1] == "n" else 0
    return (a + b) * (1 if self.kind == "quantised" else 2)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("layouts", num_tests=10)
  parser.add_argument("--only-m", type=int, choices=_MS, metavar="M")
  arguments = parser.parse_args(argv)
  command.need_hopper()
  programs = compiled(
    [case for case in cases() if arguments.only_m in (None, case.m)]
  )
  rows = timed(programs, arguments.num_tests)
  command.record(arguments, "layouts", _METHOD, rows, line)
  return 0


def timed(
  programs: dict[Case, Callable[..., Any]], num_tests: int
) -> Iterator[dict[str, Any]]:
  """Yields a row for each case; those of one size are timed together."""
  for _, group in itertools.groupby(programs, key=lambda case: case[:3]):
    same = list(group)
    calls = [functools.partial(programs[x], *operands(x)) for x in same]
    yield from rows_of(same, profiled(calls, num_tests))


def cases() -> list[Case]:
  """Returns all cases; those of one size lie together, nt first."""
  return [
    Case(m, n, k, layout, kind)
    for m, (n, k) in itertools.product(_MS, _SHAPES)
    for kind, layout in itertools.product(_KINDS, _LAYOUTS)
  ]


def operands(case: Case) -> tuple[Any, Any]:
  """Returns normal random a and b as the layout has them in memory."""
  x, weight = dense.operands((case.m, case.n, case.k))
  a, b = (x,), (weight,)
  if case.kind == "quantised":
    a = jax_deepgemm.per_token_cast_to_fp8(x)
    b = jax_deepgemm.per_block_cast_to_fp8(weight)
  if case.layout[0] == "t":
    a = tuple(part.T.copy() for part in a)
  if case.layout[1] == "n":
    b = tuple(part.T.copy() for part in b)
  if case.kind == "quantised":
    return a, b
  return a[0], b[0]


def product(case: Case) -> Callable[..., jax.Array]:
  """Returns the jitted public function."""
  function = getattr(jax_deepgemm, f"fp8_gemm_{case.layout}")
  return jax.jit(functools.partial(function, out_dtype=jnp.bfloat16))


def compiled(wanted: Sequence[Case]) -> dict[Case, Callable[..., jax.Array]]:
  """Returns compiled programs; they are compiled in parallel."""

  def compile_one(case: Case) -> Callable[..., jax.Array]:
    arguments = jax.eval_shape(lambda: operands(case))
    with jax_deepgemm.options(implementation="kernel"):
      return product(case).trace(*arguments).lower().compile()

  with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
    return dict(zip(wanted, pool.map(compile_one, wanted), strict=True))


def rows_of(
  same: Sequence[Case], times: Sequence[Times]
) -> list[dict[str, Any]]:
  """Returns rows of cases that differ in layout and kind alone."""
  of = dict(zip(same, times, strict=True))
  rows = []
  for case in same:
    extra = of[case].total - of[case._replace(layout="nt")].total
    row = {
      "case": case._asdict(),
      "us": round(of[case].total, 2),
      "kernel_us": round(of[case].kernel, 2),
    }
    if case.transposed_bytes:
      row["transposes_us"] = round(extra, 2)
      moved = 2 * case.transposed_bytes
      row["transposes_gbps"] = (
        round(moved / extra / 1e3, 1) if extra > 0 else None
      )
    rows.append(row)
  return rows


def line(row: dict[str, Any]) -> str:
  """Returns a row as text."""
  case = Case(**row["case"])
  text = (
    f"{case.kind:9} {case.layout} {case.m:5} x {case.n:5} x {case.k:5}:"
    f" {row['us']:8.2f} us (kernels {row['kernel_us']:8.2f})"
  )
  if "transposes_us" in row:
    text += f", transposes {row['transposes_us']:8.2f} us"
  if row.get("transposes_gbps"):
    text += f", {row['transposes_gbps']:6.1f} GB/s"
  return text


if __name__ == "__main__":
  sys.exit(main())
