"""Times how kernels are compiled and found again; needs no GPU.

python -m benchmarks.jit_times
"""

import argparse
import dataclasses
import functools
import itertools
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import kernel_programs, provenance, results
from benchmarks.dense import gemm
from jax_deepgemm import ScaledArray
from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.jit import (
  CompilerNotFoundError,
  JitSettings,
  KernelLibrary,
  Recipe,
)
from jax_deepgemm.testing import Samples

_METHOD = (
  "wall clock on the host, in a process that has the compiler loaded, with an"
  " empty cache directory for each cold run"
)


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m benchmarks.jit_times")
  parser.add_argument("--device", default="NVIDIA H200", help="to compile for")
  parser.add_argument("--num-kernels", type=int, default=20, metavar="N")
  parser.add_argument("--commit", help="of the code, where git is not there")
  parser.add_argument("--output", type=pathlib.Path, metavar="FILE.json")
  arguments = parser.parse_args(argv)
  recipes = distinct(dense_recipes(arguments.device), arguments.num_kernels)
  try:
    rows = measure(recipes, ENVIRONMENT.jit)
  except CompilerNotFoundError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  for row in rows:
    print(f"{row['case']}: {row['us_median'] / 1e3:.2f} ms")
  path = arguments.output or results.RESULTS / "jit_times.json"
  results.write(path, provenance.collect(_METHOD, arguments.commit), rows)
  print(f"written to {path}")
  return 0


def dense_recipes(device: str) -> list[Recipe]:
  """Returns the kernels of the dense FP8 cases on the GPU of this name."""
  found = {}
  for m, n, k in results.dense_cases():
    lowered = kernel_programs.lowered_for(
      gemm, _operand(m, k, 1), _operand(n, k, 128), device=device
    )
    for launch in kernel_programs.launches(lowered):
      found[kernel_programs.recipe_of(launch)] = None
  return list(found)


def distinct(recipes: Sequence[Recipe], count: int) -> list[Recipe]:
  """Returns `count` recipes that no cache takes for each other."""
  numbered = zip(range(count), itertools.cycle(recipes), strict=False)
  return [
    dataclasses.replace(recipe, source=f"{recipe.source}\n// {i}\n")
    for i, recipe in numbered
  ]


def measure(
  recipes: Sequence[Recipe], settings: JitSettings
) -> list[dict[str, Any]]:
  """Returns the rows: cold, from disk, from memory, and all of them at once."""
  with tempfile.TemporaryDirectory() as folder:
    cached = _with_cache(settings, f"{folder}/one_by_one")
    library = KernelLibrary(cached)
    cold = [_time(library.resolve, recipe) for recipe in recipes]
    memory = [_time(library.resolve, recipe) for recipe in recipes]
    library = KernelLibrary(cached)
    disk = [_time(library.resolve, recipe) for recipe in recipes]
    library = KernelLibrary(_with_cache(settings, f"{folder}/at_once"))
    at_once = _time(_resolve_all, library, recipes)
  workers = settings.num_workers
  return [
    _row("one kernel, cold", cold),
    _row("one kernel, from the disk cache", disk),
    _row("one kernel, from memory", memory),
    _row(f"{len(recipes)} kernels, cold, one after the other", [sum(cold)]),
    _row(f"{len(recipes)} kernels, cold, {workers} workers", [at_once]),
  ]


def _resolve_all(library: KernelLibrary, recipes: Sequence[Recipe]) -> None:
  for recipe in recipes:
    library.prefetch(recipe)
  for recipe in recipes:
    library.resolve(recipe)


def _with_cache(settings: JitSettings, folder: str) -> JitSettings:
  return dataclasses.replace(
    settings, cache_dir=folder, cache_dir_is_explicit=True
  )


def _time(fn: Callable[..., Any], *args: Any) -> float:
  start = time.perf_counter()
  fn(*args)
  return (time.perf_counter() - start) * 1e6


def _row(case: str, microseconds: Sequence[float]) -> dict[str, Any]:
  times = Samples(tuple(microseconds))
  numbers = {
    "us_median": times.median,
    "us_min": times.min,
    "us_max": times.max,
  }
  return {"case": case} | {k: round(v, 1) for k, v in numbers.items()}


@functools.cache
def _operand(rows: int, k: int, gran: int) -> ScaledArray:
  return ScaledArray(
    jax.ShapeDtypeStruct((rows, k), jnp.float8_e4m3fn),
    jax.ShapeDtypeStruct((-(-rows // gran), -(-k // 128)), jnp.float32),
  )


if __name__ == "__main__":
  sys.exit(main())
