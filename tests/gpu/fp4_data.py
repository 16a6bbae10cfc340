"""FP8 and FP4 operands that show a wrong index, and the float64 answer."""

import numpy as np

from tests.gpu.gemm_data import scaled_operands
from tests.oracle import E2M1

_MAGNITUDES = np.array([*E2M1, *(-x for x in E2M1)])
# Exponents of groups of 32 codes within a binade of each other, in all that
# e4m3 holds exactly, and beyond.
NARROW, EXACT, WIDE = (120, 124), (113, 128), (90, 150)


def fp4_operands(m, n, k, *, groups=None, exponents=NARROW, seed=0):
  """Returns ((a, sfa), (b, sfb)) as NumPy arrays, `[groups, ...]` if given.

  Exponents differ between neighbours and are drawn from `exponents`, the end
  excluded. Those of groups that lie behind k are NaN, and so is nothing else.
  """
  a, _ = scaled_operands(m, 1, k, groups=groups, seed=seed)
  random = np.random.default_rng(seed + 1)
  lead = () if groups is None else (groups,)
  b = random.integers(0, 256, (*lead, n, -(-k // 2))).astype(np.uint8)
  scales = random.integers(*exponents, (*lead, n, -(-k // 128) * 4))
  scales[..., -(-k // 32) :] = 255
  return a, (b.view(np.int8), pack_exponents(scales))


def pack_exponents(exponents):
  """Returns int32 `[..., blocks]` of bytes `[..., 4 blocks]`."""
  return np.ascontiguousarray(exponents.astype(np.uint8)).view("<i4")


def unpack_exponents(sfb):
  """Returns what `pack_exponents` packs, as integers."""
  return np.ascontiguousarray(sfb).view(np.uint8).astype(np.int64)


def dequantize_fp4(b, sfb, k):
  """Returns `[..., n, k]` float64."""
  bytes_ = b.view(np.uint8)
  codes = np.stack([bytes_ & 15, bytes_ >> 4], -1)
  codes = codes.reshape(*b.shape[:-1], -1)[..., :k]
  exponents = unpack_exponents(sfb)
  scales = np.where(exponents == 255, np.nan, np.exp2(exponents - 127.0))
  scales = np.where(exponents == 0, 0.0, scales)
  return _MAGNITUDES[codes] * np.repeat(scales, 32, -1)[..., :k]


def fp4_product(a, b, c=None, *, size=False):
  """Returns C + dequantize(A) dequantize(B)^T in float64.

  With `size` that of the magnitudes: what rounding errors are measured by. A
  result of one row or column may be near zero by chance.
  """
  magnitude = np.abs if size else np.asarray
  values, scales = a
  k = values.shape[-1]
  dense_a = values.astype(np.float64)
  dense_a = dense_a * np.repeat(scales.astype(np.float64), 128, -1)[..., :k]
  dense_b = np.swapaxes(dequantize_fp4(*b, k), -1, -2)
  d = magnitude(dense_a) @ magnitude(dense_b)
  return d if c is None else d + magnitude(np.asarray(c).astype(np.float64))
