"""Times of several programs out of one profile."""

import pytest

from jax_deepgemm.testing.kernel_times import times_of_runs
from jax_deepgemm.testing.profile import KernelEvent


def events(*runs):
  """Returns a profile with a flush before each run of (name, us)."""
  found = [KernelEvent("fill", "jit_flush_caches", 0, 9e6)]
  for run in runs:
    found.append(KernelEvent("fill", "jit_flush_caches", 0, 9e6))
    found += [KernelEvent(name, "jit_x", 0, us * 1e3) for name, us in run]
  return found


def test_kernels_of_a_run_are_added_and_others_left_out():
  profile = events(
    [("copy", 50), ("sm90_a", 1)],
    [("sm90_a", 2), ("sm90_b", 3)],
    [("sm90_c", 4)],
    [("sm90_c", 5), ("add", 6)],
  )
  assert times_of_runs(profile, 2, 2, "sm90_") == [[1, 5], [4, 5]]
  assert times_of_runs(profile, 2, 2, "") == [[51, 5], [4, 11]]


def test_a_run_that_is_missing_is_an_error():
  profile = events([("sm90_a", 1)], [("copy", 2)])
  with pytest.raises(RuntimeError, match="holds 1 runs, expected 2"):
    times_of_runs(profile, 2, 1, "sm90_")
