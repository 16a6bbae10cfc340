"""What the benchmark of cliffs runs for a shape, and how it is timed."""

import concurrent.futures
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax

import jax_deepgemm
from benchmarks import dense, dense_bf16, k_grouped, kernel_programs
from benchmarks.cliff_cases import Shape, group_sizes
from benchmarks.m_grouped_cases import MGroupedCase
from benchmarks.m_grouped_operands import operands as m_grouped_operands
from benchmarks.m_grouped_operands import product as m_grouped_product
from benchmarks.program_times import Times, profiled
from benchmarks.results import KGroupedCase
from jax_deepgemm.heuristics.sm90_bf16_gemm import Bf16GemmProblem

_NUM_THREADS = 8
_NUM_AT_ONCE = 12  # Shapes whose operands are in memory: 30 GB at most.


class Program(NamedTuple):
  """A shape's compiled program.

  Attributes:
    make: returns the operands; compiled.
    run: returns the product of these; compiled.
    config: of the GEMM's kernel.
  """

  make: Callable[[], Any]
  run: Callable[..., jax.Array]
  config: dict[str, Any]


def operands(shape: Shape) -> tuple[Any, ...]:
  """Returns random operands of `product(shape)`."""
  if shape.family == "fp8":
    x, weight = dense.operands((shape.m, shape.n, shape.k))
    return (
      jax_deepgemm.per_token_cast_to_fp8(x),
      jax_deepgemm.per_block_cast_to_fp8(weight),
    )
  if shape.family == "bf16":
    return dense_bf16.operands(Bf16GemmProblem(shape.m, shape.n, shape.k))
  if shape.family == "k_grouped_fp8":
    case = KGroupedCase(shape.m, shape.n, shape.sizes)
    return k_grouped.operands(case, with_c=False)
  return m_grouped_operands(m_grouped_case(shape))


def product(shape: Shape) -> Callable[..., jax.Array]:
  """Returns the jitted function that is timed."""
  if shape.family == "fp8":
    return dense.gemm
  if shape.family == "bf16":
    return jax.jit(jax_deepgemm.bf16_gemm_nt)
  if shape.family == "k_grouped_fp8":
    return k_grouped.gemm
  return m_grouped_product(m_grouped_case(shape))


def m_grouped_case(shape: Shape) -> MGroupedCase:
  """Returns the shape as the m-grouped benchmark has it.

  Masked groups have room for the largest of a skewed spread.
  """
  kind = shape.family.rpartition("_")[2]
  mean = -(-shape.m // shape.groups)
  hint = max_m = None
  if kind == "masked":
    hint = mean
    max_m = max(group_sizes(shape.m, shape.groups, "zipf"))
    max_m = -(-max_m // 128) * 128
  return MGroupedCase(
    kind,
    kind,
    shape.n,
    shape.k,
    shape.sizes,
    mean,
    hint,
    max_m,
    shape.dtype,
  )


def compiled(shapes: Sequence[Shape]) -> dict[Shape, Program]:
  """Returns a program for each shape; they are compiled in parallel."""
  shapes = list(dict.fromkeys(shapes))
  with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
    return dict(zip(shapes, pool.map(_compile, shapes), strict=True))


def _compile(shape: Shape) -> Program:
  make = jax.jit(functools.partial(operands, shape)).lower()
  arguments = jax.eval_shape(lambda: operands(shape))
  with jax_deepgemm.options(implementation="kernel"):
    run = product(shape).trace(*arguments).lower()
  return Program(make.compile(), run.compile(), gemm_config(run))


def gemm_config(lowered: jax.stages.Lowered) -> dict[str, Any]:
  """Returns the configuration of the GEMM in a program."""
  (launch,) = (
    launch
    for launch in kernel_programs.launches(lowered)
    if "gemm" in launch["kernel"]
  )
  return kernel_programs.config_of(launch)


def timed(
  programs: dict[Shape, Program], num_tests: int
) -> Iterable[tuple[Shape, Times]]:
  """Returns each shape with its times, as soon as they are known."""
  shapes = list(programs)
  for first in range(0, len(shapes), _NUM_AT_ONCE):
    part = shapes[first : first + _NUM_AT_ONCE]
    calls = [
      functools.partial(programs[shape].run, *programs[shape].make())
      for shape in part
    ]
    yield from zip(part, profiled(calls, num_tests), strict=True)
