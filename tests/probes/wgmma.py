"""Products of every type, layout and source."""

import random

import ml_dtypes
import numpy as np

from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall
from tests.probes.probe import Probe
from tests.probes.wgmma_layout import (
  NUM_STEPS,
  STEP_BYTES,
  k_major,
  mn_major,
)
from tests.probes.wgmma_products import THREADS, products, wgmma_recipe

ROWS = 64
_IMAGE_BYTES = 128 * 1024
_NUM_DRAWS = 2  # Cases of each product.

DTYPES = {
  "e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
  "bf16": np.dtype(ml_dtypes.bfloat16),
  "tf32": np.dtype(np.float32),
}
# Of sums, relative to those of absolute values. FP8 tensor cores align products
# to about 14 bits before they add them.
_ERRORS = {"e4m3": 2.0**-10, "bf16": 2.0**-16, "tf32": 2.0**-16}


def wgmma_probe(dtype: str, seed: int, values: str = "integers") -> Probe:
  """Returns a launch with random layouts and values of all products.

  Args:
    dtype: "e4m3", "bf16" or "tf32".
    seed: of layouts and values.
    values: "integers", whose sums are exact in any precision, "normal", or
      "low_bits": integers as float32 with bits that TF32 does not have.
  """
  rng = random.Random(seed)
  cases, images, fragments, sums, sizes = [], [], [], [], []
  end = 0
  chosen = products(dtype) * _NUM_DRAWS
  for number, product in enumerate(chosen):
    index = number % (len(chosen) // _NUM_DRAWS)
    accumulate = rng.random() < 0.5
    a = _values(rng, product, ROWS, values)
    b = _values(rng, product, product.n, values)
    image, a_at, b_at = _image(rng, product, a, b)
    loads = product.from_registers and rng.random() < 0.5
    if product.from_registers and not loads:
      image[a_at.offsets] = 0xFF
    numbers = (index, accumulate, a_at.step, b_at.step, end, len(image), loads)
    cases.append(_case(a_at, b_at, numbers))
    images.append(image)
    end += len(image) // 16
    fragments.append(_row_places(a_at) if loads else _fragments(a))
    sums.append(_sums(a, b, accumulate))
    sizes.append(_sums(abs(a), abs(b), True))
  operands = (
    np.stack(cases),
    np.concatenate(images),
    np.stack(fragments),
  )
  kernel = KernelCall(
    recipe=wgmma_recipe(dtype),
    grid=(len(chosen), 1, 1),
    cluster=(1, 1, 1),
    threads=THREADS,
    smem_bytes=_IMAGE_BYTES + 1024,
    pdl=False,
    params=tuple(Buffer(i) for i in range(4)),
  )
  tolerance = None
  if values == "normal":
    tolerance = np.stack(sizes) * _ERRORS[dtype]
  return Probe(kernel, operands, (np.stack(sums),), tolerance=tolerance)


def _values(rng, product, rows, kind):
  """Returns `[rows, steps, k]`."""
  dtype = DTYPES[product.dtype]
  shape = (rows, NUM_STEPS, STEP_BYTES // dtype.itemsize)
  random_values = np.random.default_rng(rng.randrange(2**32))
  if kind == "normal":
    drawn = random_values.standard_normal(shape).astype(np.float32)
    if product.dtype == "tf32":
      drawn = (drawn.view(np.uint32) & 0xFFFFE000).view(np.float32)
    return drawn.astype(dtype)
  values = random_values.integers(-4, 5, shape).astype(dtype)
  if kind == "low_bits":
    low = random_values.integers(0, 1 << 13, shape).astype(np.uint32)
    values = (values.view(np.uint32) | low).view(np.float32)
  return values


def _image(rng, product, a, b):
  """Returns what shared memory holds, and where A and B are in it."""
  places = []
  end = 1024 * rng.randrange(3)
  for x, transposed in (
    (a, product.a_transposed),
    (b, product.b_transposed),
  ):
    place = mn_major if transposed else k_major
    places.append(place(rng, len(x), _swizzle(rng, len(x), transposed), end))
    end = places[-1].end
  end = -(-end // 16) * 16
  assert end <= _IMAGE_BYTES
  image = np.full(end, 0xFF, np.uint8)  # NaN where nothing may be read.
  for x, at in zip((a, b), places, strict=True):
    image[at.offsets] = x.view(np.uint8).reshape(at.offsets.shape)
  return image, *places


def _swizzle(rng, rows, transposed):
  fits = [s for s in (32, 64, 128) if not transposed or rows * 2 % s == 0]
  return rng.choice([0, *fits])


def _case(a, b, numbers):
  """Returns the words of a WgmmaCase."""
  words = [a.descriptor, a.descriptor >> 32, b.descriptor, b.descriptor >> 32]
  words += [*numbers, 0]
  return np.array([int(word) & 0xFFFFFFFF for word in words], np.uint32)


def _row_places(a):
  """Returns, in the first register, the bytes that each lane's row is at."""
  thread = np.arange(THREADS)
  row = thread // 32 * 16 + thread % 16
  places = np.zeros((NUM_STEPS, THREADS, 4), np.uint32)
  places[..., 0] = a.offsets[row, :, thread % 32 // 16 * 16].T
  return places


def _fragments(a):
  """Returns registers of A `[steps, threads, 4]`."""
  lines = np.ascontiguousarray(np.swapaxes(a, 0, 1)).view(np.uint32)
  thread, register = np.ogrid[:THREADS, :4]
  row = thread // 32 * 16 + thread % 32 // 4 + register % 2 * 8
  word = thread % 4 + register // 2 * 4
  return lines[:, row, word]


def _sums(a, b, accumulate):
  """Returns registers of D `[registers, threads]`; zero where N has none."""
  if a.dtype == np.float32:
    a, b = ((x.view(np.uint32) & 0xFFFFE000).view(np.float32) for x in (a, b))
  n = len(b)
  left, right = (x.astype(np.float64).reshape(len(x), -1) for x in (a, b))
  d = left @ right.T
  register, thread = np.ogrid[: n // 2, :THREADS]
  row = thread // 32 * 16 + thread % 32 // 4 + register // 2 % 2 * 8
  column = register // 4 * 8 + thread % 4 * 2 + register % 2
  sums = np.zeros((THREADS, THREADS), np.float32)
  start = (thread * 7 + register * 5) % 32 if accumulate else 0
  sums[: n // 2] = d[row, column] + start
  return sums
