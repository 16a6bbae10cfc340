"""Several devices at once: what orders their memory, and time."""

import dataclasses
import re

import numpy as np
import pytest

from jax_deepgemm.jit import Recipe
from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall, Scalar
from tests.emulator.emulator import Emulator, EmulatorError, System

NUM_SEEDS = 8
_SOURCE = """#include "ptx/atomic.cuh"
#include "ptx/sync.cuh"
#include "ptx/system.cuh"

extern "C" __global__ void tiny(jdg::u32* data, jdg::u32* flag, jdg::u32* out,
                                jdg::u32 rank) {
  using namespace jdg;
  ptx::wait_for_previous_kernel();
  const u32 lane = threadIdx.x;
#line 1 "tiny.cuh"
BODY
}
"""
# Rank 0 sends 32 words, a thread says that they are there.
RIGHT = """
if (rank == 0) {
  data[lane] = 100 + lane;
  __syncwarp();
  if (lane == 0) ptx::fence_system();
  if (lane == 0) ptx::store_system(flag, 1);
} else {
  if (lane == 0) while (ptx::load_acquire_system(flag) != 1) {}
  __syncwarp();
  out[lane] = data[31 - lane];
}
"""


@dataclasses.dataclass(frozen=True)
class Devices:
  """Two devices with a launch of one warp each, that share two buffers."""

  body: str
  num_launches: int = 1

  def run(self, toolchain, seed):
    """Returns what the second device writes."""
    data = np.full(32, 7, np.uint32)
    flag = np.zeros(1, np.uint32)
    outs = [np.zeros(32, np.uint32) for _ in range(2)]
    launches = [
      [self.call(rank) for _ in range(self.num_launches)] for rank in range(2)
    ]
    system = System(launches, [data, flag, *outs], [None, None, 0, 1])
    Emulator(toolchain).run_system(system, seed)
    return outs[1]

  def call(self, rank):
    """Returns a device's launch."""
    return KernelCall(
      recipe=Recipe("tiny", _SOURCE.replace("BODY", self.body), "sm_90a"),
      grid=(1, 1, 1),
      cluster=(1, 1, 1),
      threads=32,
      smem_bytes=0,
      pdl=False,
      params=(Buffer(0), Buffer(1), Buffer(2 + rank), Scalar(rank)),
    )


def _reports(toolchain, body, num_launches=1):
  found = []
  for seed in range(NUM_SEEDS):
    try:
      Devices(body, num_launches).run(toolchain, seed)
    except EmulatorError as error:
      found.append(str(error))
  return found


def test_what_a_fence_of_the_system_releases_is_seen(toolchain):
  for seed in range(NUM_SEEDS):
    result = Devices(RIGHT).run(toolchain, seed)
    np.testing.assert_array_equal(result, 131 - np.arange(32))


@pytest.mark.parametrize(
  ("old", "new"),
  [
    ("if (lane == 0) ptx::fence_system();", ""),
    ("ptx::fence_system()", "ptx::fence_gpu()"),
    ("load_acquire_system", "load_acquire_gpu"),
    ("  __syncwarp();\n  if", "  if"),
    ("  __syncwarp();\n  out", "  out"),
  ],
)
def test_what_nothing_orders_is_reported(toolchain, old, new):
  assert RIGHT.count(old) == 1
  pattern = r"a (load|store) of 4 bytes and a (load|store) of rank [01] at tiny"
  found = _reports(toolchain, RIGHT.replace(old, new))
  assert any(re.search(pattern, report) for report in found), found


def test_a_store_over_what_another_may_still_read_is_reported(toolchain):
  found = _reports(toolchain, RIGHT, num_launches=2)
  message = "a store of 4 bytes and a load of rank 1"
  assert any(message in report for report in found)


def test_another_device_s_own_buffer_is_out_of_reach(toolchain):
  call = Devices("out[lane] = 1;").call(0)
  buffers = [np.zeros(32, np.uint32) for _ in range(4)]
  owners = [None, None, 0, 1]
  emulator = Emulator(toolchain)
  emulator.run_system(System([[call], []], buffers, owners), 0)
  np.testing.assert_array_equal(buffers[2], 1)
  params = (*call.params[:2], Buffer(3), Scalar(0))
  wrong = dataclasses.replace(call, params=params)
  with pytest.raises(EmulatorError, match="buffer 3 is another rank's"):
    emulator.run_system(System([[wrong], []], buffers, owners), 0)


def test_time_passes_while_all_wait(toolchain):
  body = """
if (lane == 0) {
  const u64 start = ptx::global_timer();
  u32 seen = 0;
  while (seen == 0 && ptx::global_timer() - start < 50000000) {
    seen = ptx::load_acquire_system(flag);
  }
  out[0] = seen + 5;
}
"""
  for seed in range(NUM_SEEDS):
    assert Devices(body).run(toolchain, seed)[0] == 5


@pytest.mark.parametrize(
  "body",
  [
    "if (lane == 0) ptx::reduce_add(reinterpret_cast<float*>(out), 1.0f);",
    "ptx::cluster_arrive(); ptx::cluster_wait();",
  ],
)
def test_what_is_not_modelled_between_devices_is_refused(toolchain, body):
  with pytest.raises(EmulatorError, match="is not modelled"):
    Devices(body).run(toolchain, 0)
