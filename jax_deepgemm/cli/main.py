"""The command: environment, measurements, exit code."""

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jax_deepgemm.cli import checkpoint, demo, environment_report, tune
from jax_deepgemm.cli.arguments import Arguments, parse
from jax_deepgemm.cli.errors import CommandLineError, require
from jax_deepgemm.cli.measurement import ERROR_BOUND, Measurement
from jax_deepgemm.jit.errors import CompilerNotFoundError

_PASSED, _FAILED, _UNUSABLE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
  """Returns the exit code: 0, 1 (an error is out of bounds) or 2 (unusable).

  Args:
    argv: arguments without the program's name; None takes the process's.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  try:
    if argv[:1] == ["tune"]:
      tune.run(argv[1:])
      return _PASSED
    arguments = parse(argv)
    rows = _run_json(arguments) if arguments.json else _run_tables(arguments)
  except (CommandLineError, CompilerNotFoundError) as error:
    print(f"jax_deepgemm: error: {error}", file=sys.stderr)
    return _UNUSABLE
  return _PASSED if all(row.passed for row in rows) else _FAILED


def _run_json(arguments: Arguments) -> list[Measurement]:
  """Prints one document to stdout; what else is printed goes to stderr."""
  with contextlib.redirect_stdout(sys.stderr):
    contents = _scan(arguments)
    report = environment_report.report()
    rows = _measure(arguments, contents, lambda: None)
  document = {
    "environment": dataclasses.asdict(report),
    "error_bound": ERROR_BOUND,
    "weights": arguments.weights,
    "skipped": contents.skipped if contents else {},
    "rows": [_json_row(row) for row in rows],
    "passed": all(row.passed for row in rows),
  }
  print(json.dumps(document, indent=1, allow_nan=False))
  return rows


def _run_tables(arguments: Arguments) -> list[Measurement]:
  require("rich")
  from jax_deepgemm.cli import display

  contents = _scan(arguments)
  console = display.console()
  console.print(display.environment(environment_report.report()))
  total = len(contents.layers) if contents else len(demo.shapes())
  with display.progress("multiplying", total) as report_progress:
    rows = _measure(arguments, contents, report_progress)
  console.print(display.measurements(rows))
  if contents:
    console.print(display.skipped(contents.skipped))
    console.print(display.worst(rows))
  console.print(display.verdict(rows))
  return rows


def _scan(arguments: Arguments) -> checkpoint.Contents | None:
  if arguments.weights is None:
    return None
  return checkpoint.scan(arguments.weights, arguments.layers)


def _measure(
  arguments: Arguments,
  contents: checkpoint.Contents | None,
  report_progress: Callable[[], None],
) -> list[Measurement]:
  if contents is None:
    return demo.run(report_progress)
  return checkpoint.run(
    arguments.weights, contents.layers, arguments.rows, report_progress
  )


def _json_row(row: Measurement) -> dict[str, Any]:
  """Returns the fields; JSON has no NaN, so what is not finite is null."""
  fields = dataclasses.asdict(row) | {"passed": row.passed}
  return {
    name: None
    if isinstance(value, float) and not math.isfinite(value)
    else value
    for name, value in fields.items()
  }
