"""One process of two: `python -m tests.gpu.mega_moe_process ADDRESS INDEX GPU`;
says "done" if a layer over both has the bits of one on a single rank.
"""

import sys

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as jd
from tests.gpu import test_mega_moe
from tests.mega_moe.layers import assert_same_bits

_SIZES = test_mega_moe.Sizes(70, 4, 3, 512, 256, room=10)
_RANKS = 2
_CALLS = 12


def layer(devices, tokens):
  """Returns the layer over these devices, and its buffer."""
  mesh = Mesh(np.array(devices), ("e",), axis_types=(AxisType.Auto,))
  buffer = jd.get_symm_buffer_for_mega_moe(
    mesh,
    "e",
    _SIZES.experts * _RANKS,
    tokens + _SIZES.room,
    _SIZES.top_k,
    _SIZES.hidden,
    _SIZES.intermediate,
    timeout_s=60.0,
  )

  def shard(*args):
    *args, num_tokens = args
    with jd.options(implementation="kernel"):
      return jd.fp8_mega_moe(*args, buffer, num_tokens=num_tokens)

  spec = P("e")
  f = jax.shard_map(shard, mesh=mesh, in_specs=spec, out_specs=spec)
  return jax.jit(f), buffer, NamedSharding(mesh, spec)


def placed(arrays, sharding):
  """Returns host arrays over the devices of all processes."""
  return jax.tree.map(
    lambda x: jax.make_array_from_callback(x.shape, sharding, lambda i: x[i]),
    arrays,
  )


def main(address: str, index: int, gpu: int) -> None:
  jax.distributed.initialize(address, _RANKS, index, local_device_ids=[gpu])
  # Process 1 has rank 0.
  devices = sorted(jax.devices(), key=lambda device: -device.process_index)
  rank = devices.index(jax.local_devices()[0])
  with jax.default_device(jax.local_devices()[0]):
    operands = test_mega_moe.quantised(test_mega_moe.operands(_SIZES, _RANKS))
    operands = jax.tree.map(np.asarray, operands)
  tokens = _SIZES.tokens
  both, buffer, sharding = layer(devices, tokens)
  alone, own_buffer, own_sharding = layer(jax.local_devices(), tokens * _RANKS)
  shared, own = placed(operands, sharding), placed(operands, own_sharding)
  counts = [
    np.asarray(test_mega_moe.counts_of(_SIZES, _RANKS, seed))
    for seed in range(_CALLS)
  ]
  found = [both(*shared, placed(count, sharding)) for count in counts]
  jax.block_until_ready(found)
  buffer.check_status()
  mine = slice(rank * tokens, (rank + 1) * tokens)
  everyone = np.array([tokens * _RANKS], np.int32)
  expected = np.asarray(alone(*own, placed(everyone, own_sharding)))[mine]
  for count, y in zip(counts, found, strict=True):
    is_token = np.arange(tokens)[:, None] < count[rank]
    assert_same_bits(
      y.addressable_data(0), np.where(is_token, expected, 0).astype(y.dtype)
    )
  buffer.destroy()
  own_buffer.destroy()
  print("done", flush=True)


if __name__ == "__main__":
  main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
