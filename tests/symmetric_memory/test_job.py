"""Two processes of jax.distributed find each other through its store."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, sys
import jax
import numpy as np

address, index = sys.argv[1], int(sys.argv[2])
jax.distributed.initialize(address, 2, index)

from jax_deepgemm import ffi
from jax_deepgemm.symmetric_memory import allocation, driver, quiescence
from jax_deepgemm.symmetric_memory.exchange import Exchange
from jax_deepgemm.symmetric_memory.key_value_store import KeyValueStore
from jax_deepgemm.symmetric_memory.rank_groups import RankGroups
from tests.symmetric_memory.fake_cuda import FakeCuda, FakeDevice

cuda = FakeCuda(index)
driver._bindings = lambda: cuda
quiescence.wait_for = lambda *_: None
devices = np.array([FakeDevice(1, 1), FakeDevice(0, 0)], object)
groups = RankGroups.along(devices, (0,))

def allocate():
  return allocation.allocate(groups, 8192, 8192, 10**9)

if index == 1:
  allocation.handles.own()  # As if it shared in another mesh, too.
memory = allocate()
(own,) = cuda.memory
(opened,) = cuda.opened.values()
# What process 1 reports the host of process 0 reads.
if index == 1:
  memory._board.records[0, :7] = 1, 0, 4, 2, 1, 2, 4
memory._request.exchange.meet()
fault = memory.fault()
memory.reset()
after = memory.fault()
memory.release()

cuda.failures["cuMemAlloc"] = (index == 0, 2)
failure = ""
try:
  allocate()
except (RuntimeError, MemoryError) as error:
  failure = str(error)

missing = ""
try:
  if index == 0:
    Exchange(KeyValueStore(), "late", (0, 1), 0, 0.1).gather(bytes)
except TimeoutError as error:
  missing = str(error)
left = len(cuda.memory) + len(cuda.opened) + len(cuda.pinned)
Exchange(KeyValueStore(), "end", (0, 1), index).meet()
print(json.dumps([memory.handle, own, opened, fault, after, failure, missing,
                  left]))
"""


def _free_port() -> int:
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    return listener.getsockname()[1]


def test_a_job_shares_memory_faults_and_failures():
  address = f"localhost:{_free_port()}"
  environment = os.environ | {"JAX_PLATFORMS": "cpu"}
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", SCRIPT, address, str(index)],
      cwd=ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for index in (0, 1)
  ]
  answers = []
  try:
    for process in processes:
      output, errors = process.communicate(timeout=120)
      assert process.returncode == 0, errors
      answers.append(json.loads(output.splitlines()[-1]))
  finally:
    for process in processes:
      process.kill()
  for own, other in (answers, answers[::-1]):
    handle, _, opened, fault, after, _, _, left = own
    assert handle == other[0] == 2
    assert opened == other[1]
    assert fault == (
      "mega_moe: rank 0, call 4, timed out waiting for 'rows' of rank 1 (saw"
      " call 2)"
    )
    assert after == ""
    assert left == 0
  assert "process 1 failed: symmetric buffer: device 0" in answers[0][5]
  assert "has no room" in answers[1][5]
  assert "process 1 did not come to step 0 of late" in answers[0][6]
