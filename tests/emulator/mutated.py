"""Kernels with a mistake in them, and what is found wrong with a run."""

import functools
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from jax_deepgemm.primitives.kernel_call import KernelCall
from tests.emulator.emulator import Emulator, EmulatorError
from tests.emulator.kernel_case import KernelCase
from tests.emulator.mutations import Mutation
from tests.emulator.toolchain import CUDA, Toolchain


def verdict(case: KernelCase, emulator: Emulator, seed: int) -> str | None:
  """Returns what is wrong with a run, or None."""
  return examine(case, emulator, seed)[0]


def examine(
  case: KernelCase, emulator: Emulator, seed: int
) -> tuple[str | None, np.ndarray | None]:
  """Returns what is wrong with a run, or None, and its result if it has one."""
  try:
    result = case.run(emulator, seed)
  except EmulatorError as error:
    return str(error), None
  wrong = case.wrong_elements(result)
  if len(wrong) == 0:
    return None, result
  num_nan = np.isnan(result[tuple(wrong.T)].astype(np.float32)).sum()
  text = (
    f"seed {seed}: {len(wrong)} elements are wrong, {num_nan} of them NaN, the "
    f"first at {wrong[0].tolist()}"
  )
  return text, result


def is_found(
  mutation: Mutation, toolchain: Toolchain, folder: pathlib.Path, num_seeds: int
) -> bool:
  """Returns whether a seed shows the mistake in a case that is right without.

  Args:
    mutation: the mistake.
    toolchain: what compiles the kernels.
    folder: where the changed header goes.
    num_seeds: schedules to try.
  """
  assert _verdict_of_right(mutation.case, toolchain) is None
  return fails(mutation, toolchain, folder, num_seeds)


def fails(
  mutation: Mutation, toolchain: Toolchain, folder: pathlib.Path, num_seeds: int
) -> bool:
  """As `is_found`, of a case that is known to be right without."""
  changed = mutated(mutation, folder / "cuda")
  wrong = Emulator(toolchain, changed, mutation.case.roles)
  return any(verdict(mutation.case, wrong, seed) for seed in range(num_seeds))


# Most mutations of a kernel share a case.
@functools.cache
def _verdict_of_right(case: KernelCase, toolchain: Toolchain) -> str | None:
  return verdict(case, Emulator(toolchain, roles=case.roles), 0)


def mutated(mutation: Mutation, folder: pathlib.Path) -> pathlib.Path:
  """Returns `folder`, with the header that the change is in, at its path."""
  text = (CUDA / mutation.path).read_text()
  assert text.count(mutation.old) == 1
  path = folder / mutation.path
  path.parent.mkdir(parents=True)
  path.write_text(text.replace(mutation.old, mutation.new))
  return folder


class MutatedLaunches(Emulator):
  """Changes each launch before it runs."""

  def __init__(
    self, toolchain: Toolchain, change: Callable[[KernelCall], KernelCall]
  ):
    super().__init__(toolchain)
    self.change = change

  def run(
    self, kernel: KernelCall, buffers: Sequence[np.ndarray], seed: int
  ) -> None:
    super().run(self.change(kernel), buffers, seed)
