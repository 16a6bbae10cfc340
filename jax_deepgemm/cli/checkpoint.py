"""The 2-D weights of a safetensors file."""

import collections
import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.cli.errors import CommandLineError, require
from jax_deepgemm.cli.measurement import Measurement, measure

_DTYPES = ("BF16", "F16", "F32")


@dataclasses.dataclass(frozen=True)
class Contents:
  """What a file holds.

  Attributes:
    layers: names of the matrices to check.
    skipped: why tensors are left out, and how many for each reason.
  """

  layers: tuple[str, ...]
  skipped: dict[str, int]


def scan(path: str, pattern: re.Pattern[str] | None) -> Contents:
  """Returns what of the file is to be checked; reads no weights.

  Args:
    path: of a safetensors file.
    pattern: names must match it somewhere, unless it is None.

  Raises:
    CommandLineError: the file cannot be read or holds nothing to check.
  """
  layers, skipped = [], collections.Counter()
  with _open(path) as file:
    # Iterating over the file itself is not possible in all versions.
    for name in file.keys():  # noqa: SIM118
      part = file.get_slice(name)
      reason = _reason_to_skip(
        name, tuple(part.get_shape()), part.get_dtype(), pattern
      )
      if reason is None:
        layers.append(name)
      else:
        skipped[reason] += 1
  if not layers:
    found = ", ".join(f"{n} {reason}" for reason, n in skipped.items())
    raise CommandLineError(
      f"{path!r} holds no weight to check: {found or 'no tensor at all'}"
    )
  return Contents(tuple(layers), dict(skipped))


def shapes(path: str, layers: tuple[str, ...]) -> list[tuple[int, int]]:
  """Returns (n, k) of each matrix once, in the order of the file.

  Args:
    path: of a safetensors file.
    layers: names of matrices in it, `[n, k]`.
  """
  with _open(path) as file:
    found = [tuple(file.get_slice(name).get_shape()) for name in layers]
  return list(dict.fromkeys(found))


def run(
  path: str,
  layers: tuple[str, ...],
  rows: int,
  report_progress: Callable[[], None],
) -> list[Measurement]:
  """Returns a measurement for each layer, with normal random activations.

  Args:
    path: of a safetensors file.
    layers: names of matrices in it, `[n, k]`.
    rows: m.
    report_progress: called after each.

  Raises:
    CommandLineError: a tensor cannot be read.
  """
  measurements = []
  with _open(path) as file:
    for i, name in enumerate(layers):
      weight = jnp.asarray(file.get_tensor(name))
      x = jax.random.normal(
        jax.random.key(i), (rows, weight.shape[1]), jnp.bfloat16
      )
      measurements.append(measure(name, x, weight))
      report_progress()
  return measurements


def _reason_to_skip(
  name: str,
  shape: tuple[int, ...],
  dtype: str,
  pattern: re.Pattern[str] | None,
) -> str | None:
  if pattern is not None and not pattern.search(name):
    return "not matched by --layers"
  if len(shape) != 2:
    return f"of rank {len(shape)}"
  if dtype not in _DTYPES:
    return f"of dtype {dtype}"
  return "empty" if 0 in shape else None


def _open(path: str) -> Any:
  """Returns the open file, a context manager of an optional package."""
  require("safetensors")
  import safetensors

  try:
    return safetensors.safe_open(path, framework="numpy")
  except FileNotFoundError as error:
    raise CommandLineError(f"there is no file {path!r}") from error
  except (OSError, safetensors.SafetensorError) as error:
    raise CommandLineError(
      f"{path!r} cannot be read as a safetensors file ({error}); a checkpoint"
      " of several files is checked one *.safetensors file at a time"
    ) from error
