"""Arguments of `python -m jax_deepgemm tune`."""

import argparse
import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Sequence

from jax_deepgemm.cli import checkpoint, tuning_shapes
from jax_deepgemm.cli.arguments import pattern, positive
from jax_deepgemm.cli.tuning import Task

_NUM_CONFIGS = 40

_DESCRIPTION = """\
Times kernel configurations for your shapes on this machine's Hopper GPU and
keeps the fastest in the kernels' cache directory, where every later process
finds them. Sizes are given as m x n x k of D[m, n] = A[m, k] B[n, k]^T.
"""


@dataclasses.dataclass(frozen=True)
class TuneArguments:
  """What the user asked for.

  Attributes:
    tasks: problems to tune, each once.
    num_configs: configurations to time for each.
    dry_run: list the problems and stop.
  """

  tasks: tuple[Task, ...]
  num_configs: int
  dry_run: bool


def parse(argv: Sequence[str]) -> TuneArguments:
  """Returns the arguments; exits with code 2 and a message if they are wrong.

  Raises:
    CommandLineError: a file cannot be read or does not hold shapes.
  """
  parser = _parser()
  given = parser.parse_args(argv)
  _check(parser, given)
  tasks = {(task.family.name, task.name): task for task in _tasks(given)}
  if not tasks:
    parser.error(
      "nothing to tune: give --fp8, --bf16, --m-grouped-fp8, --m-grouped-bf16,"
      " --k-grouped-fp8, --shapes or --weights"
    )
  return TuneArguments(tuple(tasks.values()), given.configs, given.dry_run)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m jax_deepgemm tune", description=_DESCRIPTION
  )

  def add(name: str, **settings: object) -> None:
    parser.add_argument(name, default=[], **settings)

  for family in ("fp8", "bf16"):
    add(f"--{family}", nargs="+", metavar="MxNxK", type=_sizes(3))
  add("--m-grouped-fp8", nargs="+", metavar="NxK", type=_sizes(2))
  add("--m-grouped-bf16", nargs="+", metavar="NxK", type=_sizes(2))
  add("--k-grouped-fp8", nargs="+", metavar="MxNxK", type=_sizes(3))
  add("--groups", metavar="G,...", type=_list, help="of all grouped families")
  add(
    "--expected-m",
    metavar="M,...",
    type=_list,
    help="rows that a group of --m-grouped-* has",
  )
  parser.add_argument(
    "--ragged",
    action="store_true",
    help="groups of --m-grouped-fp8 begin at any row",
  )
  parser.add_argument(
    "--shapes", metavar="FILE.json", help="problems of all families"
  )
  parser.add_argument(
    "--weights",
    metavar="FILE.safetensors",
    help="fp8 with each shape of this checkpoint's 2-D weights",
  )
  parser.add_argument("--layers", metavar="REGEX", type=pattern)
  add("--m", metavar="M,...", type=_list, help="rows that meet --weights")
  parser.add_argument(
    "--configs",
    metavar="N",
    type=positive,
    default=_NUM_CONFIGS,
    help=f"configurations to time for each problem (default {_NUM_CONFIGS}):"
    " those that the cost model likes best",
  )
  parser.add_argument(
    "--dry-run", action="store_true", help="list the problems and stop"
  )
  return parser


def _check(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
  m_grouped = given.m_grouped_fp8 or given.m_grouped_bf16
  if bool(m_grouped or given.k_grouped_fp8) != bool(given.groups):
    parser.error(
      "--groups is needed with --m-grouped-* and --k-grouped-fp8, and only"
      " there"
    )
  if bool(m_grouped) != bool(given.expected_m):
    parser.error("--expected-m is needed with --m-grouped-*, and only there")
  if given.ragged and not given.m_grouped_fp8:
    parser.error("--ragged needs --m-grouped-fp8")
  if bool(given.weights) != bool(given.m):
    parser.error("--m is needed with --weights, and only there")
  if given.layers and not given.weights:
    parser.error("--layers needs --weights")


def _tasks(given: argparse.Namespace) -> Iterator[Task]:
  for sizes in given.fp8:
    yield tuning_shapes.fp8(*sizes)
  for sizes in given.bf16:
    yield tuning_shapes.bf16(*sizes)
  for sizes, groups, rows in itertools.product(
    given.m_grouped_fp8, given.groups, given.expected_m
  ):
    yield tuning_shapes.m_grouped_fp8(*sizes, groups, rows, given.ragged)
  for sizes, groups, rows in itertools.product(
    given.m_grouped_bf16, given.groups, given.expected_m
  ):
    yield tuning_shapes.m_grouped_bf16(*sizes, groups, rows)
  for sizes, groups in itertools.product(given.k_grouped_fp8, given.groups):
    yield tuning_shapes.k_grouped_fp8(*sizes, groups)
  if given.shapes is not None:
    yield from tuning_shapes.from_file(given.shapes)
  if given.weights is not None:
    layers = checkpoint.scan(given.weights, given.layers).layers
    weights = checkpoint.shapes(given.weights, layers)
    for m, (n, k) in itertools.product(given.m, weights):
      yield tuning_shapes.fp8(m, n, k)


def _sizes(count: int) -> Callable[[str], tuple[int, ...]]:
  def sizes(text: str) -> tuple[int, ...]:
    if len(re.findall("x", text)) != count - 1:
      raise argparse.ArgumentTypeError(
        f"{text!r} is not {count} sizes joined by x"
      )
    return tuple(positive(part) for part in text.split("x"))

  return sizes


def _list(text: str) -> list[int]:
  return [positive(part) for part in text.split(",")]
