"""Arguments of the command."""

import argparse
import dataclasses
import re
from collections.abc import Sequence

_DEFAULT_ROWS = 128

_DESCRIPTION = """\
Shows what jax_deepgemm found, multiplies in FP8 over some shapes of models or
over the weights of a checkpoint, and compares with the float32 product. Exit
code 1: an error is out of bounds. Exit code 2: the command could not be run.
`python -m jax_deepgemm tune --help` is about finding the fastest kernels.
"""


@dataclasses.dataclass(frozen=True)
class Arguments:
  """What the user asked for.

  Attributes:
    json: print one JSON document instead of tables.
    weights: path of a safetensors file, or None for the demo.
    layers: layers whose name it matches somewhere are checked, or None: all.
    rows: rows of the activations that meet each weight.
  """

  json: bool = False
  weights: str | None = None
  layers: re.Pattern[str] | None = None
  rows: int = _DEFAULT_ROWS


def parse(argv: Sequence[str] | None) -> Arguments:
  """Returns the arguments; exits with code 2 and a message if they are wrong.

  Args:
    argv: without the program's name; None takes those of the process.
  """
  parser = argparse.ArgumentParser(
    prog="python -m jax_deepgemm", description=_DESCRIPTION
  )
  parser.add_argument(
    "--json",
    action="store_true",
    help="print one JSON document to stdout and nothing else",
  )
  parser.add_argument(
    "--weights",
    metavar="FILE.safetensors",
    help="check the 2-D weights of this checkpoint, layer by layer",
  )
  parser.add_argument(
    "--layers",
    metavar="REGEX",
    type=pattern,
    help="with --weights: only layers whose name it matches somewhere",
  )
  parser.add_argument(
    "--rows",
    metavar="M",
    type=positive,
    help=f"with --weights: rows of the activations (default {_DEFAULT_ROWS})",
  )
  given = parser.parse_args(argv)
  if given.weights is None and (given.layers or given.rows):
    parser.error("--layers and --rows need --weights")
  return Arguments(
    json=given.json,
    weights=given.weights,
    layers=given.layers,
    rows=given.rows or _DEFAULT_ROWS,
  )


def pattern(text: str) -> re.Pattern[str]:
  """Returns the regular expression that an argument is."""
  try:
    return re.compile(text)
  except re.error as error:
    raise argparse.ArgumentTypeError(
      f"{text!r} is no regular expression: {error}"
    ) from error


def positive(text: str) -> int:
  """Returns the integer above 0 that an argument is."""
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f"{text!r} is no integer above 0")
  return int(text)
