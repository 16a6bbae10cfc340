"""How operands of wgmma lie in shared memory, from the layouts' formulas.

An operand is `[rows, steps, bytes]`: what each of two products takes of it.
"""

import dataclasses
import random

import numpy as np

NUM_STEPS = 2
STEP_BYTES = 32  # Of K, whatever the type.

_LAYOUTS = {0: 0, 128: 1, 64: 2, 32: 3}


@dataclasses.dataclass(frozen=True)
class Placement:
  """Where an operand's bytes are.

  Attributes:
    offsets: `[rows, steps, bytes]`, from the image's beginning.
    descriptor: of the first product.
    step: from one descriptor to the next, in 16 bytes.
    end: the first byte behind it.
  """

  offsets: np.ndarray
  descriptor: int
  step: int
  end: int


def k_major(
  rng: random.Random, rows: int, swizzle: int, start: int
) -> Placement:
  """Returns a random place for rows of K behind byte `start`."""
  row, step, byte = np.ogrid[:rows, :NUM_STEPS, :STEP_BYTES]
  if swizzle == 0:
    strides, extent = _nest(rng, {"row": rows // 8, "core": 4}, 128)
    line = step * 2 + byte // 16
    offsets = row // 8 * strides["row"] + row % 8 * 16
    offsets = offsets + line * strides["core"] + byte % 16
    step_bytes, leading = 2 * strides["core"], strides["core"]
    first = 0
  elif swizzle == 32:
    counts = {"row": rows // 8, "step": NUM_STEPS}
    strides, extent = _nest(rng, counts, 8 * swizzle)
    offsets = row // 8 * strides["row"] + row % 8 * swizzle + byte
    offsets = offsets + step * strides["step"]
    step_bytes, leading, first = strides["step"], rng.choice([0, 16]), 0
  else:
    # Both products within one line, at any of its places.
    strides, extent = _nest(rng, {"row": rows // 8}, 8 * swizzle)
    first = 32 * rng.randrange(swizzle // 32 - 1)
    offsets = row // 8 * strides["row"] + row % 8 * swizzle + byte
    offsets = offsets + step * STEP_BYTES + first
    step_bytes, leading = STEP_BYTES, rng.choice([0, 16])
  start = _align(start, 1024)
  descriptor = _descriptor(start + first, leading, strides["row"], swizzle)
  offsets = _swizzled(start + offsets, swizzle)
  return Placement(offsets, descriptor, step_bytes // 16, start + extent)


def mn_major(
  rng: random.Random, rows: int, swizzle: int, start: int
) -> Placement:
  """Returns a random place for columns of K, 2 bytes an element."""
  row, step, byte = np.ogrid[:rows, :NUM_STEPS, :STEP_BYTES]
  k = byte // 2
  line = swizzle or 16
  counts = {"atom": rows * 2 // line, "k": NUM_STEPS * 2}
  strides, extent = _nest(rng, counts, 8 * line)
  offsets = row * 2 // line * strides["atom"] + row * 2 % line + byte % 2
  offsets = offsets + (step * 2 + k // 8) * strides["k"] + k % 8 * line
  leading, stride = strides["atom"], strides["k"]
  if swizzle == 0:
    leading, stride = stride, leading
  start = _align(start, 1024)
  descriptor = _descriptor(start, leading, stride, swizzle)
  offsets = _swizzled(start + offsets, swizzle)
  return Placement(offsets, descriptor, 2 * strides["k"] // 16, start + extent)


def _nest(
  rng: random.Random, counts: dict[str, int], unit: int
) -> tuple[dict[str, int], int]:
  """Returns strides of nested dimensions, in any order and with gaps."""
  strides = {}
  extent = unit
  for name in rng.sample(sorted(counts), len(counts)):
    strides[name] = extent + rng.choice([0, unit])
    extent = strides[name] * counts[name]
  return strides, extent


def _descriptor(start: int, leading: int, stride: int, swizzle: int) -> int:
  assert start % 16 == leading % 16 == stride % 16 == 0
  layout = _LAYOUTS[swizzle] << 62
  return start >> 4 | leading >> 4 << 16 | stride >> 4 << 32 | layout


def _swizzled(offset: np.ndarray, swizzle: int) -> np.ndarray:
  """Exchanges 16-byte units by the number of the 128-byte line."""
  mask = max(swizzle // 16 - 1, 0)
  return offset ^ ((offset >> 7 & mask) << 4)


def _align(offset: int, multiple: int) -> int:
  return -(-offset // multiple) * multiple
