"""Times the casts to FP8 and FP4 on a Hopper GPU, beside XLA's fusions.

python -m benchmarks.casts                       all kinds
python -m benchmarks.casts --kinds rows both     some of them
python -m benchmarks.casts --rows-per-thread 2   another form for rows
python -m benchmarks.casts --sources swiglu --ctas-per-sm 2
                                                 fused with what makes x
"""

import argparse
import functools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import command, results
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_cast_rows, sm90_cast_tile
from jax_deepgemm.primitives.cast import cast
from jax_deepgemm.primitives.cast_form import KINDS, CastForm
from jax_deepgemm.testing import bench

SHAPES = (
  (1, 7168),
  (128, 7168),
  (4096, 7168),
  (4096, 16384),
  (32768, 7168),
)
_NUM_GROUPS = 8
# "fp4" is what FP4 GEMMs take: rows with packed scales, 1 x 32.
_KINDS = (*KINDS, "fp4")
# Of fused casts: what GEMMs of a layer take.
_FUSED_KINDS = ("rows", "both", "rows_grouped", "grouped")
_SOURCES = tuple(source.value for source in CastSource)
_BANDWIDTH = H200.memory_bandwidth
_METHOD = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run; normal random operands; gbps counts each byte of operands"
  f" and results once, share is of {_BANDWIDTH / 1e12} TB/s; xla_us is from the"
  " first kernel's start to the last one's end of XLA's program for the same"
)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("casts", num_tests=20)
  parser.add_argument("--kinds", nargs="+", choices=_KINDS)
  parser.add_argument(
    "--sources", nargs="+", choices=_SOURCES, default=("plain",)
  )
  parser.add_argument("--rows", nargs="+", type=int, metavar="M")
  parser.add_argument("--dtype", choices=("bfloat16", "float32"))
  parser.add_argument("--rows-per-thread", type=int, metavar="N")
  parser.add_argument("--ctas-per-sm", type=int, metavar="N")
  parser.add_argument("--no-xla", action="store_true")
  parser.add_argument("--pdl", action="store_true")
  arguments = parser.parse_args(argv)
  command.need_hopper()
  _force(arguments)
  rows = (_time(*case, arguments) for case in _cases(arguments))
  command.record(arguments, "casts", _METHOD, rows, _line)
  return 0


def _force(arguments: argparse.Namespace) -> None:
  """Makes the kernels' heuristics answer as the arguments say."""
  if arguments.rows_per_thread is not None:
    rows = arguments.rows_per_thread
    sm90_cast_rows.rows_per_thread = lambda *sizes: rows
  if arguments.ctas_per_sm is not None:
    ctas = arguments.ctas_per_sm
    sm90_cast_tile.ctas_per_sm = lambda *fields: ctas


def _cases(
  arguments: argparse.Namespace,
) -> Iterator[tuple[CastSource, str, tuple[int, int]]]:
  """Returns source, kind and shape of what is cast."""
  for source in map(CastSource, arguments.sources):
    fused = source is not CastSource.PLAIN
    kinds = arguments.kinds or (_FUSED_KINDS if fused else _KINDS)
    for kind in kinds:
      for shape in SHAPES:
        if arguments.rows is None or shape[0] in arguments.rows:
          yield source, kind, shape


def _time(
  source: CastSource,
  kind: str,
  shape: tuple[int, int],
  arguments: argparse.Namespace,
) -> dict[str, Any]:
  dtype = jnp.dtype(arguments.dtype or "bfloat16")
  form = _form(kind, source)
  operands = _operands(form, shape, dtype)
  options = Options(implementation="kernel", pdl=arguments.pdl)
  kernel = _program(form, options)
  timed = functools.partial(bench, num_tests=arguments.num_tests)
  times = timed(kernel, *operands, kernel_name="sm90_cast").run
  num_bytes = count_bytes(form, operands)
  row = {
    "source": source.value,
    "kind": kind,
    "shape": list(shape),
    "dtype": dtype.name,
    **results.times_of(times),
    "floor_us": round(num_bytes / _BANDWIDTH * 1e6, 2),
    "gbps": round(num_bytes / times.median / 1e3, 1),
    "share": round(num_bytes / times.median * 1e6 / _BANDWIDTH, 3),
  }
  if not arguments.no_xla:
    reference = _program(form, Options(implementation="reference"))
    row["xla_us"] = round(timed(reference, *operands).run.median, 2)
  return row


def _form(kind: str, source: CastSource) -> CastForm:
  if kind == "fp4":
    packed = {"use_ue8m0": True, "fp4": True, "packed": True}
    return CastForm("rows", 32, **packed, source=source)
  return CastForm(kind, mn_major=kind == "rows", source=source)


def _operands(
  form: CastForm, shape: tuple[int, int], dtype: jnp.dtype
) -> tuple[jax.Array, ...]:
  """Returns what a matrix of that shape is made of, and sizes of groups."""
  operands = _sources(form.source, shape, dtype)
  if not form.is_grouped:
    return operands
  # Sizes that are no multiple of a block where there are rows enough.
  size = shape[0] // _NUM_GROUPS
  sizes = [size + (-1) ** i * (size // 10) for i in range(_NUM_GROUPS)]
  return *operands, jnp.array(sizes, jnp.int32)


def _sources(
  source: CastSource, shape: tuple[int, int], dtype: jnp.dtype
) -> tuple[jax.Array, ...]:
  rows, columns = shape
  x_key, other_key = jax.random.split(jax.random.key(0))
  x = jax.random.normal(x_key, shape, dtype)
  match source:
    case CastSource.PLAIN:
      return (x,)
    case CastSource.GATHER:
      return x, jax.random.permutation(other_key, rows).astype(jnp.int32)
    case CastSource.SWIGLU:
      return (jax.random.normal(x_key, (rows, 2 * columns), dtype),)
    case CastSource.WEIGHTED_SWIGLU:
      h = jax.random.normal(x_key, (rows, 2 * columns), dtype)
      weights = jax.random.uniform(other_key, (rows,), jnp.float32)
      return h, weights, jnp.float32(10)
    case CastSource.SWIGLU_GRADIENT:
      dy = jax.random.normal(other_key, (rows, columns // 2), dtype)
      return x, dy
    case CastSource.RMS_NORM:
      weight = jax.random.uniform(other_key, (columns,), jnp.float32)
      return x, weight, jnp.ones((rows,), jnp.float32)


def _program(form: CastForm, options: Options) -> Callable[..., Any]:
  return jax.jit(lambda *x: cast(*x, form=form, options=options))


def count_bytes(form: CastForm, operands: Sequence[jax.Array]) -> int:
  """Returns the bytes of the operands and of what the cast writes."""
  shapes = form.result_shapes(*(x.shape for x in operands))
  written = sum(
    math.prod(shape) * dtype.itemsize
    for shape, dtype in zip(shapes, form.dtypes(len(shapes)), strict=True)
  )
  return sum(x.nbytes for x in operands) + written


def _line(row: dict[str, Any]) -> str:
  rows, columns = row["shape"]
  text = f"{row['source']:15} {row['kind']:12} {rows:5} x {columns:5}:"
  text += f" {row['us_median']:8.2f} us"
  text += f" ({row['us_min']:.2f} to {row['us_max']:.2f})"
  text += f", {row['gbps']:7.1f} GB/s, {row['share']:6.1%} of the bandwidth"
  if "xla_us" in row:
    text += f"; XLA {row['xla_us']:8.2f} us"
  return text


if __name__ == "__main__":
  sys.exit(main())
