"""Times the casts to FP8 and FP4 on a Hopper GPU, beside XLA's fusions.

python -m benchmarks.casts                       all kinds
python -m benchmarks.casts --kinds rows both     some of them
python -m benchmarks.casts --rows-per-thread 2   another form for rows
"""

import argparse
import functools
import math
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import provenance, results
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_cast_rows
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
_BANDWIDTH = H200.memory_bandwidth
_METHOD = (
  "kernel time from JAX's profiler, caches flushed by a write of up to 8 GB"
  " before each run; normal random operands; gbps counts each byte of operands"
  f" and results once, share is of {_BANDWIDTH / 1e12} TB/s; xla_us is from the"
  " first kernel's start to the last one's end of XLA's program for the same"
)


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m benchmarks.casts")
  parser.add_argument("--kinds", nargs="+", choices=_KINDS, default=_KINDS)
  parser.add_argument("--dtype", choices=("bfloat16", "float32"))
  parser.add_argument("--rows-per-thread", type=int, metavar="N")
  parser.add_argument("--num-tests", type=int, default=20, metavar="N")
  parser.add_argument("--no-xla", action="store_true")
  parser.add_argument("--pdl", action="store_true")
  parser.add_argument("--commit", help="of the code, where git is not there")
  parser.add_argument("--output", type=pathlib.Path, metavar="FILE.json")
  arguments = parser.parse_args(argv)
  if provenance.hopper() is None:
    print("error: this needs a Hopper GPU", file=sys.stderr)
    return 2
  if arguments.rows_per_thread is not None:
    forced = arguments.rows_per_thread
    sm90_cast_rows.rows_per_thread = lambda *sizes: forced
  path = arguments.output or results.RESULTS / "casts.json"
  fields = provenance.collect(_METHOD, arguments.commit)
  fields["num_tests"] = arguments.num_tests
  rows = []
  for kind in arguments.kinds:
    for shape in SHAPES:
      rows.append(_time(kind, shape, arguments))
      print(_line(rows[-1]), flush=True)
      results.write(path, fields, rows)  # Each time: a run may be cut off.
  print(f"written to {path}")
  return 0


def _time(
  kind: str, shape: tuple[int, int], arguments: argparse.Namespace
) -> dict[str, Any]:
  dtype = jnp.dtype(arguments.dtype or "bfloat16")
  form = _form(kind)
  operands = _operands(kind, shape, dtype)
  options = Options(implementation="kernel", pdl=arguments.pdl)
  kernel = _program(form, options)
  timed = functools.partial(bench, num_tests=arguments.num_tests)
  times = timed(kernel, *operands, kernel_name="sm90_cast").run
  num_bytes = count_bytes(form, operands)
  row = {
    "kind": kind,
    "shape": list(shape),
    "dtype": dtype.name,
    "us_median": round(times.median, 2),
    "us_min": round(times.min, 2),
    "us_max": round(times.max, 2),
    "floor_us": round(num_bytes / _BANDWIDTH * 1e6, 2),
    "gbps": round(num_bytes / times.median / 1e3, 1),
    "share": round(num_bytes / times.median * 1e6 / _BANDWIDTH, 3),
  }
  if not arguments.no_xla:
    reference = _program(form, Options(implementation="reference"))
    row["xla_us"] = round(timed(reference, *operands).run.median, 2)
  return row


def _form(kind: str) -> CastForm:
  if kind == "fp4":
    return CastForm("rows", 32, use_ue8m0=True, fp4=True, packed=True)
  return CastForm(kind, mn_major=kind == "rows")


def _operands(
  kind: str, shape: tuple[int, int], dtype: jnp.dtype
) -> tuple[jax.Array, ...]:
  x = jax.random.normal(jax.random.key(0), shape, dtype)
  if kind != "grouped":
    return (x,)
  # Sizes that are no multiple of a block where there are rows enough.
  size = shape[0] // _NUM_GROUPS
  sizes = [size + (-1) ** i * (size // 10) for i in range(_NUM_GROUPS)]
  return x, jnp.array(sizes, jnp.int32)


def _program(form: CastForm, options: Options) -> Callable[..., Any]:
  return jax.jit(lambda *x: cast(*x, form=form, options=options))


def count_bytes(form: CastForm, operands: Sequence[jax.Array]) -> int:
  """Returns the bytes of the operands and of what the cast writes."""
  num_groups = operands[1].shape[0] if len(operands) == 2 else 0
  shapes = form.shapes(operands[0].shape, num_groups)
  written = sum(
    math.prod(shape) * (1, 4)[i % 2] for i, shape in enumerate(shapes)
  )
  return sum(x.nbytes for x in operands) + written


def _line(row: dict[str, Any]) -> str:
  rows, columns = row["shape"]
  text = f"{row['kind']:10} {rows:5} x {columns:5}: {row['us_median']:8.2f} us"
  text += f" ({row['us_min']:.2f} to {row['us_max']:.2f})"
  text += f", {row['gbps']:7.1f} GB/s, {row['share']:6.1%} of the bandwidth"
  if "xla_us" in row:
    text += f"; XLA {row['xla_us']:8.2f} us"
  return text


if __name__ == "__main__":
  sys.exit(main())
