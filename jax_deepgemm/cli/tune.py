"""The subcommand `tune`: times, shows, stores."""

from collections.abc import Sequence

from jax_deepgemm.cli import tuning_arguments, tuning_store
from jax_deepgemm.cli.errors import CommandLineError, require
from jax_deepgemm.cli.tuning import Outcome, Task, Timer, candidates, tune
from jax_deepgemm.cli.tuning_arguments import TuneArguments
from jax_deepgemm.cli.tuning_timer import GpuTimer
from jax_deepgemm.heuristics.device import H200, Device
from jax_deepgemm.primitives.target import process_device
from jax_deepgemm.primitives.tuning_file import path_of


def run(argv: Sequence[str]) -> None:
  """Does what the arguments after `tune` say.

  Raises:
    CommandLineError: there is no Hopper GPU, or a file cannot be read or
      written.
  """
  arguments = tuning_arguments.parse(argv)
  require("rich")
  device = process_device()
  if arguments.dry_run:
    _show_plans(arguments, device if _is_hopper(device) else H200)
    return
  if device is None or not _is_hopper(device):
    found = "no CUDA GPU" if device is None else device.name
    raise CommandLineError(
      f"tune needs a Hopper GPU, found {found}; --dry-run lists what would be"
      " timed"
    )
  tune_all(arguments, device, GpuTimer(device))


def tune_all(
  arguments: TuneArguments, device: Device, timer: Timer
) -> list[tuple[Task, Outcome]]:
  """Returns what was found; each problem is stored as soon as it is known.

  Args:
    arguments: of the command.
    device: that `timer` measures.
    timer: measures.

  Raises:
    CommandLineError: the table cannot be written.
  """
  from jax_deepgemm.cli import display

  rows: list[tuple[Task, Outcome]] = []
  with display.progress("tuning", len(arguments.tasks)) as report_progress:
    for task in arguments.tasks:
      outcome = tune(task, device, arguments.num_configs, timer)
      try:
        tuning_store.store(device, task.family.name, task.name, outcome.entry)
      except (OSError, ValueError) as error:
        raise CommandLineError(
          f"what was measured cannot be stored: {error}"
        ) from error
      rows.append((task, outcome))
      report_progress()
  console = display.console()
  console.print(display.outcomes(rows))
  console.print(
    f"stored in {path_of(device.name)} for processes that start from now on",
    markup=False,
    soft_wrap=True,
  )
  return rows


def _is_hopper(device: Device | None) -> bool:
  return device is not None and device.is_hopper


def _show_plans(arguments: TuneArguments, device: Device) -> None:
  from jax_deepgemm.cli import display

  plans = []
  for task in arguments.tasks:
    keys = candidates(task, device, arguments.num_configs)
    plans.append((task, len(keys), keys[0]))
  console = display.console()
  console.print(display.plans(plans))
  total = sum(count for _, count, _ in plans)
  console.print(f"{total} configurations would be timed on {device.name}")
