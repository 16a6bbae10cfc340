"""Which backend serves which arrangement of processes."""

import numpy as np
import pytest

from jax_deepgemm.symmetric_memory import backend
from jax_deepgemm.symmetric_memory.rank_groups import RankGroups
from tests.symmetric_memory.fake_cuda import FakeDevice


def groups(processes: list[list[int]], axis: int) -> RankGroups:
  """The groups of a mesh whose devices belong to these processes."""
  devices = np.array(
    [[FakeDevice(8 * i + j, p) for j, p in enumerate(row)]
     for i, row in enumerate(processes)],
    object,
  )  # fmt: skip
  return RankGroups.along(devices, (axis,))


@pytest.mark.parametrize(
  ("processes", "axis", "expected"),
  [
    ([[0]], 0, "peer_mapped"),
    ([[0, 0, 0, 0]], 1, "peer_mapped"),
    ([[0, 1]], 1, "cuda_ipc"),
    ([[0, 1], [2, 3]], 0, "cuda_ipc"),
    # Data over processes, experts within each.
    ([[0, 0], [1, 1]], 1, "peer_mapped"),
    ([[0], [1]], 1, "peer_mapped"),
  ],
)
def test_the_default_follows_the_processes(processes, axis, expected):
  assert backend.choose(groups(processes, axis), None) == expected


def test_nvshmem_is_taken_if_asked_for():
  assert backend.choose(groups([[0, 1]], 1), "nvshmem") == "nvshmem"


def test_several_gpus_in_each_of_several_processes_are_refused():
  with pytest.raises(NotImplementedError, match=r"\{0: 2, 1: 2\}; start a"):
    backend.choose(groups([[0, 0], [1, 1]], 0), None)


@pytest.mark.parametrize(
  ("processes", "name", "reason"),
  [
    ([[0, 1]], "peer_mapped", "needs all devices of a mesh axis in one"),
    ([[0, 0]], "cuda_ipc", "'cuda_ipc' needs one GPU in each process"),
    ([[0, 0]], "nvshmem", "'nvshmem' needs one GPU in each process"),
  ],
)
def test_a_backend_that_does_not_fit_is_refused(processes, name, reason):
  with pytest.raises(ValueError, match=reason):
    backend.choose(groups(processes, 1), name)
