"""What the commands that time something on a GPU share."""

import argparse
import pathlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks import provenance, results
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.primitives.target import process_device


def parser(
  name: str, *, num_tests: int | None = None, writes_table: bool = False
) -> argparse.ArgumentParser:
  """Returns the parser of `python -m benchmarks.<name>`, to be added to.

  Args:
    name: of the module.
    num_tests: runs of each case, unless told otherwise; None: no such option.
    writes_table: results go where the package's tables are made from, and not
      to a file of the user's choice.
  """
  made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
  if num_tests is not None:
    made.add_argument("--num-tests", type=int, default=num_tests, metavar="N")
  made.add_argument("--commit", help="of the code, where git is not there")
  if not writes_table:
    made.add_argument("--output", type=pathlib.Path, metavar="FILE.json")
  return made


def record(
  arguments: argparse.Namespace,
  name: str,
  method: str,
  rows: Iterable[dict[str, Any]],
  line: Callable[[dict[str, Any]], str] | None,
  **fields: Any,
) -> list[dict[str, Any]]:
  """Returns the rows, each printed and in the file of results as it comes.

  Args:
    arguments: of a `parser` with num_tests.
    name: of the file in benchmarks/results, unless the arguments have another.
    method: how the times are taken, in a sentence.
    rows: what is timed when the next is asked for.
    line: returns what is printed of a row; None: who makes it prints.
    fields: of the file, besides those that all have.
  """
  path = arguments.output or results.RESULTS / f"{name}.json"
  head = provenance.collect(method, arguments.commit)
  head |= {"num_tests": arguments.num_tests, **fields}
  done = []
  for row in rows:
    done.append(row)
    if line is not None:
      print(line(row), flush=True)
    results.write(path, head, done)  # Each time: a run may be cut off.
  print(f"written to {path}" if done else "no such case: nothing is written")
  return done


def need_hopper() -> Device:
  """Returns this process's Hopper GPU; ends with exit code 2 without one."""
  device = process_device()
  if device is None or not device.is_hopper:
    print("error: this needs a Hopper GPU", file=sys.stderr)
    raise SystemExit(2)
  return device
