"""One process of two: `python -m tests.gpu.mega_moe_many_process ADDRESS INDEX
GPU`; says "done" if random calls over both have the bits of steps of one rank.
"""

import sys

import jax

from tests.mega_moe import many_checks, many_layers

_RANKS = 2
_LAYERS, _CALLS = 4, 5


def main(address: str, index: int, gpu: int) -> None:
  jax.distributed.initialize(address, _RANKS, index, local_device_ids=[gpu])
  # Process 1 has rank 0.
  devices = sorted(jax.devices(), key=lambda device: -device.process_index)
  (own,) = jax.local_devices()
  mesh = many_checks.mesh_of(devices)
  layers = many_layers.random_layers(_LAYERS, many_layers.LARGE, _RANKS, 2)
  with jax.default_device(own):
    for layer in layers:
      many_checks.check_beside_one_rank(
        layer, mesh, own, range(_CALLS), "kernel"
      )
  print("done", flush=True)


if __name__ == "__main__":
  main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
