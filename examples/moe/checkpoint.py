"""Checkpoints: written beside the training, found again after a kill."""

import dataclasses
import pathlib
from typing import Any

import orbax.checkpoint as ocp

from moe.errors import UsageError
from moe.train_step import TrainState


class Checkpoints:
  """The checkpoints of a run.

  One is complete or it is not there: it is written under another name and then
  renamed. The newest is kept. A checkpoint is of no mesh, its arrays go to
  wherever the run that reads it wants them.
  """

  def __init__(
    self, folder: pathlib.Path, every: int, identity: dict[str, Any]
  ):
    """Opens the folder.

    Args:
      folder: made if it is not there.
      every: steps between checkpoints, 0 for none.
      identity: what makes this run another one than that of other text or
        sizes; written with each checkpoint and compared when one is read.
    """
    self._every = every
    self._identity = identity
    options = ocp.CheckpointManagerOptions(
      max_to_keep=1, cleanup_tmp_directories=True
    )
    self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

  def restore(self, like: TrainState) -> tuple[TrainState, int] | None:
    """Returns the newest state and how many steps it had, or None.

    Args:
      like: shapes, dtypes and shardings of the result.

    Raises:
      UsageError: the checkpoint is that of another run.
    """
    step = self._manager.latest_step()
    if step is None:
      return None
    found = self._manager.restore(
      step, args=ocp.args.Composite(identity=ocp.args.JsonRestore())
    )
    self._compare(found["identity"])
    found = self._manager.restore(
      step, args=ocp.args.Composite(state=ocp.args.StandardRestore(like))
    )
    return found["state"], step

  def is_due(self, step: int, num_steps: int) -> bool:
    """Returns whether the state after `step` steps is to be saved."""
    if not self._every:
      return False
    return step % self._every == 0 or step == num_steps

  def save(self, state: TrainState, step: int) -> None:
    """Copies the state after `step` steps to memory and begins to write it."""
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        identity=ocp.args.JsonSave(self._identity),
      ),
    )

  def close(self) -> None:
    """Waits until all is written."""
    self._manager.close()

  def _compare(self, found: dict[str, Any]) -> None:
    """Raises UsageError if a checkpoint is that of another run."""
    different = [
      f"{name}: {found.get(name)!r}, now {value!r}"
      for name, value in self._identity.items()
      if found.get(name) != value
    ]
    if different:
      raise UsageError(
        f"the checkpoints in {self._manager.directory} are those of another"
        f" run ({'; '.join(different)}); choose another --out"
      )


def identity(
  preset: Any, precision: str, moe: str, seed: int, digest: str
) -> dict[str, Any]:
  """Returns what two runs with equal losses have in common, but the mesh."""
  return {
    **dataclasses.asdict(preset.model),
    **dataclasses.asdict(preset.train),
    "precision": precision,
    "moe": moe,
    "seed": seed,
    "corpus": digest,
  }
