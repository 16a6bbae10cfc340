"""What a person sees, drawn by rich."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from jax_deepgemm.cli.environment_report import EnvironmentReport
from jax_deepgemm.cli.measurement import ERROR_BOUND, Measurement
from jax_deepgemm.cli.tuning import Outcome, Task
from jax_deepgemm.heuristics.user_table import Key

_WORST = 5
_COLUMNS = (
  "m x n x k",
  "path",
  "error",
  "of weight",
  "us",
  "TFLOP/s",
  "with cast",
  "bf16 dot",
)
_WIDTH_WITHOUT_TERMINAL = 240
# The numbers of the table alone take 92; a terminal with less wraps its lines.
_LEAST_WIDTH = 124


def console() -> Console:
  """Returns what tables are printed to: the standard output."""
  width = _WIDTH_WITHOUT_TERMINAL
  if sys.stdout.isatty():
    width = max(Console().width, _LEAST_WIDTH)
  return Console(width=width, highlight=False)


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
  """Returns a context with a bar on stderr; its value moves the bar by one."""
  with Progress(console=Console(stderr=True)) as bar:
    task = bar.add_task(title, total=total)
    yield lambda: bar.advance(task)


def environment(report: EnvironmentReport) -> Table:
  """Returns the table of what was found."""
  table = Table.grid(padding=(0, 2))
  versions = f"{report.jax} (jaxlib {report.jaxlib}, Python {report.python})"
  compiler = report.compiler or f"none\n{report.compiler_problem}"
  writable = (
    "writable"
    if report.cache_problem is None
    else f"not writable\n{report.cache_problem}"
  )
  for name, value in (
    ("jax_deepgemm", report.package),
    ("JAX", versions),
    ("devices", "\n".join(report.devices)),
    ("compiler", compiler),
    ("kernel cache", f"{report.cache_directory}, {writable}"),
  ):
    table.add_row(name, _plain(value))
  return table


def measurements(rows: Sequence[Measurement]) -> Table:
  """Returns the table of errors and times."""
  table = Table(box=box.SIMPLE_HEAD, show_edge=False)
  table.add_column("weight", overflow="fold", min_width=28)
  for title in _COLUMNS:
    table.add_column(title, justify="right", no_wrap=True)
  for row in rows:
    table.add_row(
      _plain(row.name),
      f"{row.m} x {row.n} x {row.k}",
      row.path,
      _error(row),
      f"{row.weight_diff:.1e}",
      f"{row.gemm_us:.1f}",
      f"{row.tflops:.0f}" if row.tflops >= 100 else f"{row.tflops:.3g}",
      f"{row.cast_and_gemm_us:.1f}",
      f"{row.bf16_dot_us:.1f}",
    )
  return table


def worst(rows: Sequence[Measurement]) -> str:
  """Returns the layers with the largest errors, those without one first."""
  ordered = sorted(rows, key=lambda row: (row.diff == row.diff, -row.diff))
  lines = [f"  {_error(row)}  {_plain(row.name)}" for row in ordered[:_WORST]]
  return "\n".join(["largest errors:", *lines])


def skipped(counts: dict[str, int]) -> str:
  """Returns how many tensors were left out and why."""
  total = sum(counts.values())
  reasons = ", ".join(f"{n} {reason}" for reason, n in counts.items())
  return f"skipped {total} tensors: {reasons}" if counts else "skipped none"


def verdict(rows: Sequence[Measurement]) -> str:
  """Returns whether all errors are within the bound."""
  failures = sum(not row.passed for row in rows)
  if failures:
    return (
      f"[red]{failures} of {len(rows)} errors are not below"
      f" {ERROR_BOUND:g}[/red]"
    )
  return f"[green]all {len(rows)} errors are below {ERROR_BOUND:g}[/green]"


def outcomes(rows: Sequence[tuple[Task, Outcome]]) -> Table:
  """Returns the table of what was tuned."""
  table = Table(box=box.SIMPLE_HEAD, show_edge=False)
  for title in ("family", "problem"):
    table.add_column(title, overflow="fold")
  for title in ("timed", "default us", "fastest us", "gain"):
    table.add_column(title, justify="right", no_wrap=True)
  table.add_column("configuration", overflow="fold")
  for task, outcome in rows:
    same = outcome.key == outcome.default_key
    table.add_row(
      task.family.name,
      _plain(task.name),
      str(outcome.num_timed),
      f"{outcome.default_us:.2f}",
      f"{outcome.us:.2f}",
      "" if same else f"{outcome.default_us / outcome.us - 1:.1%}",
      " ".join(map(str, outcome.key)),
    )
  return table


def plans(rows: Sequence[tuple[Task, int, Key]]) -> Table:
  """Returns the table of what would be tuned, with the defaults."""
  table = Table(box=box.SIMPLE_HEAD, show_edge=False)
  for title in ("family", "problem"):
    table.add_column(title, overflow="fold")
  table.add_column("to time", justify="right", no_wrap=True)
  table.add_column("default", overflow="fold")
  for task, count, default in rows:
    table.add_row(
      task.family.name,
      _plain(task.name),
      str(count),
      " ".join(map(str, default)),
    )
  return table


def _error(row: Measurement) -> str:
  text = f"{row.diff:.1e}"
  return text if row.passed else f"[red]{text}[/red]"


def _plain(text: str) -> str:
  """Returns text that rich prints as it is: [x] is no style."""
  return text.replace("[", r"\[")
