"""Loads, stores and sums of boxes of random tensors."""

import random

import ml_dtypes
import numpy as np

from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall, TensorMap
from tests.probes.probe import Probe, recipe
from tests.probes.tma_layout import (
  BOX_BYTES,
  ELEMENT_BYTES,
  box_at,
  box_bytes,
  buffer_bytes,
  random_map,
  random_place,
)

_THREADS = 128
_RANKS = (1, 2, 3, 4, 5)
_LOAD, _STORE, _ADD, _MULTICAST = range(4)

# What TMA adds.
_SUMS = {
  "u32": np.dtype(np.uint32),
  "i32": np.dtype(np.int32),
  "u64": np.dtype(np.uint64),
  "f32": np.dtype(np.float32),
  "bf16": np.dtype(ml_dtypes.bfloat16),
}


def tma_load_probe(seed: int) -> Probe:
  """Returns a launch that loads 4 boxes of a tensor of each rank."""
  return _load_probe(seed, _RANKS, _LOAD, cluster=1)


def tma_multicast_probe(seed: int) -> Probe:
  """Returns a launch where pairs of CTAs load 4 boxes of each tensor."""
  return _load_probe(seed, (2, 3, 4, 5, 2), _MULTICAST, cluster=2)


def _load_probe(seed, ranks, action, cluster) -> Probe:
  rng = random.Random(seed)
  maps = [
    random_map(rng, i, rng.choice(list(ELEMENT_BYTES)), rank)
    for i, rank in enumerate(ranks)
  ]
  tensors = [_bytes(rng, buffer_bytes(x)) for x in maps]
  cases, boxes = [], []
  for i, tensor in enumerate(maps * 4):
    place = random_place(rng, tensor)
    at = box_at(tensor, place)
    box = np.zeros(BOX_BYTES, np.uint8)
    box[at.offsets[at.inside]] = tensors[i % 5][at.sources[at.inside]]
    cases += [_case(i % 5, tensor, place, action)] * cluster
    boxes += [box] * cluster
  return Probe(
    kernel=_kernel(maps, cases, cluster),
    operands=(*tensors, np.stack(cases)),
    expected=(np.stack(boxes),),
  )


def tma_store_probe(seed: int) -> Probe:
  """Returns a launch that stores a box of a tensor of each rank."""
  rng = random.Random(seed)
  maps = [
    random_map(rng, 7 + i, rng.choice(list(ELEMENT_BYTES)), rank, stores=True)
    for i, rank in enumerate(_RANKS)
  ]
  before = [_bytes(rng, buffer_bytes(x)) for x in maps]
  after = [x.copy() for x in before]
  cases, boxes = [], []
  for i, tensor in enumerate(maps):
    place = random_place(rng, tensor, stores=True)
    at = box_at(tensor, place)
    box = _bytes(rng, BOX_BYTES)
    after[i][at.sources[at.inside]] = box[at.offsets[at.inside]]
    cases.append(_case(i, tensor, place, _STORE))
    boxes.append(box)
  return _in_place(maps, cases, boxes, before, after)


def tma_add_probe(seed: int) -> Probe:
  """Returns a launch that adds 3 boxes to a tensor of each rank."""
  rng = random.Random(seed)
  dtypes = rng.sample(sorted(_SUMS), len(_SUMS))
  maps = [
    random_map(rng, 7 + i, dtypes[i], rank, stores=True)
    for i, rank in enumerate(_RANKS)
  ]
  before = [_numbers(rng, x.dtype, buffer_bytes(x)) for x in maps]
  after = [x.copy() for x in before]
  cases, boxes = [], []
  for i, tensor in enumerate(maps * 3):
    place = random_place(rng, tensor, stores=True)
    at = box_at(tensor, place)
    box = _numbers(rng, tensor.dtype, BOX_BYTES)
    # Whole elements: their bytes lie side by side in both memories.
    dtype = _SUMS[tensor.dtype]
    first = at.inside[..., 0]
    to = at.sources[first][:, 0] // dtype.itemsize
    terms = box[at.offsets[first]].view(dtype)[:, 0]
    after[i % 5].view(dtype)[to] += terms
    cases.append(_case(i % 5, tensor, place, _ADD))
    boxes.append(box)
  return _in_place(maps, cases, boxes, before, after)


def _in_place(maps, cases, boxes, before, after) -> Probe:
  return Probe(
    kernel=_kernel(maps, cases, cluster=1),
    operands=(*before, np.stack(cases), np.stack(boxes)),
    expected=tuple(after),
    aliases=tuple((i, i) for i in range(len(maps))),
  )


def _kernel(
  maps: list[TensorMap], cases: list[np.ndarray], cluster: int
) -> KernelCall:
  return KernelCall(
    recipe=recipe("tma"),
    grid=(len(cases), 1, 1),
    cluster=(cluster, 1, 1),
    threads=_THREADS,
    smem_bytes=BOX_BYTES + 1024,
    pdl=False,
    # The cases and the boxes, which are an operand or the result.
    params=(*maps, Buffer(5), Buffer(6)),
  )


def _case(index, tensor, place, action):
  """Returns the words of a TmaCase."""
  rank = len(tensor.box)
  words = [index, rank, box_bytes(tensor), action, *place, *(0,) * (8 - rank)]
  return np.array([word & 0xFFFFFFFF for word in words], np.uint32)


def _bytes(rng, count):
  generator = np.random.default_rng(rng.randrange(2**32))
  return generator.integers(0, 256, count, np.uint8)


def _numbers(rng, dtype, count):
  """Returns bytes of small integers, whose sums are exact."""
  generator = np.random.default_rng(rng.randrange(2**32))
  values = generator.integers(0, 16, count // _SUMS[dtype].itemsize)
  return values.astype(_SUMS[dtype]).view(np.uint8)
