"""Arguments of examples/train_moe.py."""

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence

from moe import mesh
from moe.config import PRESETS, Preset
from moe.errors import UsageError

_DESCRIPTION = """\
Trains a small mixture of experts, a language model of bytes, on the source of
Python's standard library, in BF16 or FP8. A run that was stopped, however it
was, goes on from its newest checkpoint when the same command is given again.
"""


@dataclasses.dataclass(frozen=True)
class Arguments:
  """What the user asked for.

  Attributes:
    preset: the model and its training.
    precision: a key of `precision.COMPUTE_DTYPES`.
    moe: "steps", a layer of experts is dispatch, experts and combine, or
      "mega", one operation.
    mesh: devices along each axis, or None: all of them along `data`.
    seed: of the first parameters and of the order of the text.
    out: folder of the metrics and the checkpoints.
    checkpoint_every: steps between checkpoints; 0 for none at all.
    eval_every: steps between validations; there is one at the end, too.
    log_every: steps between two looks at the loss, each of which waits.
    attention: "xla", "cudnn", or "auto": cudnn on a GPU.
    cpu_devices: devices that the CPU is split into, or None.
    coordinator: host:port of process 0, or None.
    num_processes: of the job.
    process_id: of this process.
    local_devices: ids of this process's GPUs, or None: all that it sees.
    cluster: find the other processes in the cluster's environment.
  """

  preset: Preset
  precision: str
  moe: str
  mesh: mesh.MeshShape | None
  seed: int
  out: pathlib.Path
  checkpoint_every: int
  eval_every: int
  log_every: int
  attention: str
  cpu_devices: int | None
  coordinator: str | None
  num_processes: int | None
  process_id: int | None
  local_devices: list[int] | None
  cluster: bool


def parse(argv: Sequence[str] | None = None) -> Arguments:
  """Returns the arguments; exits with code 2 and a message if they are wrong.

  Args:
    argv: without the program's name; None takes those of the process.
  """
  parser = argparse.ArgumentParser(
    prog="python examples/train_moe.py", description=_DESCRIPTION
  )
  add = parser.add_argument
  add("--preset", choices=PRESETS, default="tiny", help="default: tiny")
  add("--precision", choices=("bf16", "fp8"), default="bf16")
  add("--moe", choices=("steps", "mega"), default="steps")
  add("--mesh", type=_mesh, help="like data=2,expert=2; default: all data")
  add("--steps", type=positive, help="of the whole run; default: the preset's")
  add("--seed", type=_natural, default=0)
  add("--out", type=pathlib.Path, default=pathlib.Path("runs/moe"))
  add("--checkpoint-every", type=_natural, help="0: none; default: 1/5 of all")
  add("--eval-every", type=positive, help="default: 1/10 of all steps")
  add("--log-every", type=positive, default=10)
  add("--attention", choices=("auto", "xla", "cudnn"), default="auto")
  add("--cpu-devices", type=positive, help="simulate so many devices")
  several = parser.add_argument_group("several processes")
  add = several.add_argument
  add("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
  add("--num-processes", type=positive)
  add("--process-id", type=_natural)
  add("--local-devices", type=_natural, nargs="+", help="default: all")
  add("--cluster", action="store_true", help="ask Slurm, MPI or Kubernetes")
  given = vars(parser.parse_args(argv))
  names = ("coordinator", "num_processes", "process_id")
  if len({given[name] is None for name in names}) > 1:
    parser.error(
      "--coordinator, --num-processes and --process-id belong together"
    )
  preset = _with_steps(PRESETS[given.pop("preset")], given.pop("steps"))
  steps = preset.train.num_steps
  if given["checkpoint_every"] is None:
    given["checkpoint_every"] = max(1, steps // 5)
  given["eval_every"] = given["eval_every"] or max(1, steps // 10)
  return Arguments(preset=preset, **given)


def _with_steps(preset: Preset, steps: int | None) -> Preset:
  """Returns the preset with another number of steps."""
  if steps is None:
    return preset
  # The schedule needs a step after its warm-up.
  warmup_steps = min(preset.train.warmup_steps, steps - 1)
  train = dataclasses.replace(
    preset.train, num_steps=steps, warmup_steps=warmup_steps
  )
  return dataclasses.replace(preset, train=train)


def _mesh(text: str) -> mesh.MeshShape:
  try:
    return mesh.parse(text)
  except UsageError as error:
    raise argparse.ArgumentTypeError(str(error)) from error


def _natural(text: str) -> int:
  if not text.isdecimal():
    raise argparse.ArgumentTypeError(f"{text!r} is no integer from 0 on")
  return int(text)


def positive(text: str) -> int:
  """Returns the number in `text`, which must be above 0."""
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f"{text!r} is no integer above 0")
  return int(text)
