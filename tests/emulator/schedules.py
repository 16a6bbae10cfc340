"""What holds of a kernel in whatever order its warps run."""

import numpy as np

from tests.emulator.emulator import Emulator


def assert_same_right_result(toolchain, case, num_seeds, defined=...):
  """Fails unless a right result comes out of every schedule, the same bits.

  Args:
    toolchain: what compiles the kernel.
    case: a `KernelCase`.
    num_seeds: schedules to run.
    defined: index of the rows that the kernel must write; all of them.
  """
  first = assert_same_result(toolchain, case, num_seeds, defined)
  assert case.wrong_elements(first).size == 0


def assert_same_result(toolchain, case, num_seeds, defined=...):
  """Returns the result of the first schedule; others must have its bits.

  A kernel that reads or writes outside of its arrays fails too.
  """
  emulator = Emulator(toolchain, roles=case.roles)
  first = case.run(emulator, seed=0)
  for seed in range(1, num_seeds):
    again = case.run(emulator, seed)
    # To the bit: sums are added in one order whatever runs first, splits in
    # that of their number. What is not written keeps its NaN.
    np.testing.assert_array_equal(_bits(again[defined]), _bits(first[defined]))
  return first


def _bits(x):
  return np.ascontiguousarray(x).view(np.uint8)
