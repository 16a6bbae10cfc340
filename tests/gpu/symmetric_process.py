"""One process of two: `python -m tests.gpu.symmetric_process ADDRESS INDEX GPU
BACKEND`; says "done" if all went as it should.
"""

import sys

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from tests.gpu import symmetric_program


def main(address: str, index: int, gpu: int, backend: str) -> None:
  jax.distributed.initialize(address, 2, index, local_device_ids=[gpu])
  # Process 1 has rank 0.
  devices = sorted(jax.devices(), key=lambda device: -device.process_index)
  mesh = Mesh(np.array(devices), ("expert",), axis_types=(AxisType.Auto,))
  (own,) = jax.local_devices()
  rank = devices.index(own)
  buffer = symmetric_program.make_buffer(mesh, backend=backend, timeout_s=1)
  meet = buffer._memory._request.exchange.meet
  found = symmetric_program.run(buffer, own, "write", 100 + rank)
  assert found[rank] == 100 + rank, found
  assert meet()
  found = symmetric_program.run(buffer, own, "read")
  assert found.tolist() == [100, 101, 0, 0, 0, 0, 0, 0], found

  buffer.check_status()
  assert meet()
  if index == 1:
    symmetric_program.run(buffer, own, "fail")
  assert meet()
  for use in (
    buffer.check_status,
    lambda: symmetric_program.run(buffer, own, "read"),
  ):
    with pytest.raises(RuntimeError, match="'rows' of rank 9"):
      use()
  buffer.reset()
  assert not symmetric_program.run(buffer, own, "read").any()
  assert meet()
  buffer.destroy()
  print("done", flush=True)


if __name__ == "__main__":
  main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
