"""Times dot products for training: bfloat16 in and out, casts included.

python -m benchmarks.dot                  forward, and forward and backward
python -m benchmarks.dot --only ragged    or dense

Beside them the same pass in bfloat16: XLA's dot, or for ragged products
m_grouped_bf16_gemm_nt_ragged with its gradients.
"""

import argparse
import dataclasses
import pathlib
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import provenance, results
from jax_deepgemm.testing import bench

_METHOD = (
  "from the first kernel's start to the last one's end, from JAX's profiler,"
  " caches flushed by a write of up to 8 GB before each run; normal random"
  " bfloat16 operands; weights [k, n]"
)
_DIMS = (((1,), (0,)), ((), ()))
_BYTES_PER_US = 4.3e6
_DENSE = (
  (2112, 7168),
  (4096, 7168),
  (7168, 2048),
  (24576, 1536),
  (7168, 16384),
)
_RAGGED = ((8, 4096, 7168), (8, 7168, 2048), (32, 4096, 7168))


@dataclasses.dataclass(frozen=True)
class DotCase:
  """A product of `[m, k]` and `[k, n]`, or `[g, k, n]` if there are groups."""

  m: int
  n: int
  k: int
  groups: int = 0

  @property
  def cast_floor_us(self) -> float:
    """Time to read and write what a forward and backward pass casts.

    Each of x, w and dy is read once in 2 bytes and written twice in 1; columns
    by group are a second read of x and dy.
    """
    rows = self.m * (self.k + self.n)
    weights = max(self.groups, 1) * self.k * self.n
    total = 4 * rows + 4 * weights + (2 * rows if self.groups else 0)
    return total / _BYTES_PER_US


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m benchmarks.dot")
  parser.add_argument("--only", choices=("dense", "ragged"))
  parser.add_argument("--m", type=int, default=4096)
  parser.add_argument("--num-tests", type=int, default=20, metavar="N")
  parser.add_argument("--commit", help="of the code, where git is not there")
  parser.add_argument("--output", type=pathlib.Path, metavar="FILE.json")
  arguments = parser.parse_args(argv)
  if provenance.hopper() is None:
    print("error: this needs a Hopper GPU", file=sys.stderr)
    return 2
  path = arguments.output or results.RESULTS / "dot.json"
  fields = provenance.collect(_METHOD, arguments.commit)
  fields["num_tests"] = arguments.num_tests
  rows = []
  for case in cases(arguments.m, arguments.only):
    rows.append(time_case(case, arguments.num_tests))
    print(line(rows[-1]), flush=True)
    results.write(path, fields, rows)  # Each time: a run may be cut off.
  for name in ("forward", "training"):
    mean = statistics.geometric_mean(
      row[f"bf16_{name}_us"] / row[f"fp8_{name}_us"] for row in rows
    )
    print(f"{name}: bfloat16's time over ours, geometric mean: {mean:.3f}")
  print(f"written to {path}")
  return 0


def cases(m: int, only: str | None = None) -> list[DotCase]:
  """Returns the cases: the dense layers of DeepSeek-V3, and its experts."""
  dense = [DotCase(m, n, k) for n, k in _DENSE]
  ragged = [DotCase(m, n, k, g) for g, n, k in _RAGGED]
  return {"dense": dense, "ragged": ragged, None: dense + ragged}[only]


def time_case(case: DotCase, num_tests: int) -> dict[str, Any]:
  """Returns the row of a case."""
  row = dataclasses.asdict(case) | {"cast_floor_us": case.cast_floor_us}
  for name, dot in dots(case).items():
    arrays = operands(case, transposed=name == "bf16" and bool(case.groups))
    for kind, step in (("forward", forward), ("training", training)):
      time = bench(jax.jit(step(dot)), *arrays, num_tests=num_tests)
      row[f"{name}_{kind}_us"] = time.run.median
  return row


def dots(case: DotCase) -> dict[str, Callable[..., jax.Array]]:
  """Returns the products to be timed, each of x and w."""
  if not case.groups:
    return {
      "fp8": lambda x, w: jax_deepgemm.fp8_dot_general(x, w, _DIMS),
      "fp8_recast": lambda x, w: jax_deepgemm.fp8_dot_general(
        x, w, _DIMS, residuals="bf16"
      ),
      "bf16": lambda x, w: jax.lax.dot_general(x, w, _DIMS),
    }
  sizes = jnp.full(case.groups, case.m // case.groups, jnp.int32)
  return {
    "fp8": lambda x, w: jax_deepgemm.fp8_ragged_dot(x, w, sizes),
    "fp8_recast": lambda x, w: jax_deepgemm.fp8_ragged_dot(
      x, w, sizes, residuals="bf16"
    ),
    "bf16": lambda x, w: jax_deepgemm.m_grouped_bf16_gemm_nt_ragged(
      x, w, sizes
    ),
  }


def forward(dot: Callable[..., jax.Array]) -> Callable[..., Any]:
  return lambda x, w, dy: dot(x, w)


def training(dot: Callable[..., jax.Array]) -> Callable[..., Any]:
  def step(x: jax.Array, w: jax.Array, dy: jax.Array) -> tuple[jax.Array, ...]:
    y, vjp = jax.vjp(dot, x, w)
    return y, *vjp(dy)

  return step


def operands(case: DotCase, transposed: bool = False) -> list[jax.Array]:
  """Returns x, w and dy; w is `[g, n, k]` if transposed."""
  columns = (case.n, case.k) if transposed else (case.k, case.n)
  weights = (case.groups, *columns) if case.groups else columns
  keys = jax.random.split(jax.random.key(0), 3)
  shapes = ((case.m, case.k), weights, (case.m, case.n))
  return [
    jax.random.normal(key, shape, jnp.bfloat16)
    for key, shape in zip(keys, shapes, strict=True)
  ]


def line(row: dict[str, Any]) -> str:
  times = ", ".join(
    f"{name} {row[f'{name}_forward_us']:.1f} / {row[f'{name}_training_us']:.1f}"
    for name in ("fp8", "fp8_recast", "bf16")
  )
  groups = f"{row['groups']} x " if row["groups"] else ""
  return (
    f"{groups}{row['m']} x {row['n']} x {row['k']}: {times} us"
    f" (casts at least {row['cast_floor_us']:.1f})"
  )


if __name__ == "__main__":
  sys.exit(main())
