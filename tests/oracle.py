"""Float64 NumPy oracles of the casts and layouts, written from their formulas.

Loops and nearest-value searches instead of the bit operations and padded
reshapes of the library, so that the two share no mistake.
"""

import math

import ml_dtypes
import numpy as np

LARGEST_E4M3FN = 448
LARGEST_E2M1 = 6
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def round_up_to_power_of_two(x: float) -> float:
  """Returns the smallest 2**e >= x with -126 <= e <= 127."""
  for exponent in range(-126, 127):
    if math.ldexp(1.0, exponent) >= x:
      return math.ldexp(1.0, exponent)
  return math.ldexp(1.0, 127)


def scale(block: np.ndarray, largest_code: int, use_ue8m0: bool) -> np.float32:
  """Returns the scale of one block of finite values."""
  amax = max(
    float(np.max(np.abs(block.astype(np.float64)), initial=0.0)),
    float(np.float32(1e-4)),
  )
  quotient = np.float32(amax / largest_code)
  if use_ue8m0:
    return np.float32(round_up_to_power_of_two(float(quotient)))
  return quotient


def scaled(x: np.ndarray, block_scale: np.ndarray) -> np.ndarray:
  """Returns x * (1 / scale) with the two float32 roundings, as float64."""
  inverse = np.float32(1.0 / np.float64(block_scale))
  product = x.astype(np.float64) * np.float64(inverse)
  return product.astype(np.float32).astype(np.float64)


def round_to_e4m3fn(x: np.ndarray) -> np.ndarray:
  """Returns the nearest multiple of the e4m3fn step at x, ties to even."""
  _, exponent = np.frexp(np.abs(x))
  step = np.ldexp(1.0, np.maximum(exponent - 1, -6) - 3)
  return np.rint(x / step) * step


def e4m3fn_half_step(x: np.ndarray) -> np.ndarray:
  """Returns half the distance between the e4m3fn numbers around x."""
  _, exponent = np.frexp(np.abs(x))
  return np.ldexp(0.5, np.maximum(exponent - 1, -6) - 3)


def blocks_of(m: int, n: int, gran_m: int, gran_n: int) -> list:
  """Returns (i, j, rows, columns) of every block of an m x n matrix."""
  return [
    (i, j, slice(r, min(r + gran_m, m)), slice(c, min(c + gran_n, n)))
    for i, r in enumerate(range(0, m, gran_m))
    for j, c in enumerate(range(0, n, gran_n))
  ]


def cast_to_fp8(
  x: np.ndarray, gran_m: int, gran_n: int, use_ue8m0: bool = False
) -> tuple[np.ndarray, np.ndarray]:
  """Returns (codes as float64 [m, n], scales float32) of a finite matrix."""
  m, n = x.shape
  codes = np.zeros((m, n))
  scales = np.zeros((-(-m // gran_m), -(-n // gran_n)), np.float32)
  for i, j, rows, columns in blocks_of(m, n, gran_m, gran_n):
    block = x[rows, columns]
    scales[i, j] = scale(block, LARGEST_E4M3FN, use_ue8m0)
    codes[rows, columns] = round_to_e4m3fn(scaled(block, scales[i, j]))
  return codes, scales


def e2m1_code(value: float) -> int:
  """Returns the nearest code, ties towards zero, never -0."""
  distances = [abs(abs(value) - magnitude) for magnitude in E2M1]
  code = distances.index(min(distances))
  return code + 8 if value < 0 and code else code


def e2m1_value(code: int) -> float:
  """Returns the number that a 4-bit code stands for."""
  magnitude = E2M1[code % 8]
  return -magnitude if code >= 8 else magnitude


def pack_fp4(codes: np.ndarray) -> np.ndarray:
  """Returns int8 [m, n / 2] of codes [m, n], even element in the low nibble."""
  m, n = codes.shape
  packed = np.zeros((m, n // 2), np.uint8)
  for r in range(m):
    for c in range(n):
      packed[r, c // 2] += int(codes[r, c]) * (16 if c % 2 else 1)
  return packed.view(np.int8)


def unpack_fp4(packed: np.ndarray) -> np.ndarray:
  """Returns codes [m, n] of int8 [m, n / 2]."""
  m, half = packed.shape
  codes = np.zeros((m, 2 * half), np.int64)
  for r in range(m):
    for c in range(half):
      codes[r, 2 * c + 1], codes[r, 2 * c] = divmod(int(packed[r, c]) % 256, 16)
  return codes


def cast_to_fp4(
  x: np.ndarray, gran_k: int, use_ue8m0: bool = False
) -> tuple[np.ndarray, np.ndarray]:
  """Returns (codes [m, n] in 0..15, scales float32) of a finite matrix."""
  m, n = x.shape
  codes = np.zeros((m, n), np.int64)
  scales = np.zeros((m, -(-n // gran_k)), np.float32)
  for i, j, rows, columns in blocks_of(m, n, 1, gran_k):
    block = x[rows, columns]
    scales[i, j] = scale(block, LARGEST_E2M1, use_ue8m0)
    values = scaled(block, scales[i, j])
    codes[rows, columns] = np.reshape(
      [e2m1_code(v) for v in values.ravel()], values.shape
    )
  return codes, scales


def exponent_byte(x: float) -> int:
  """Returns the UE8M0 byte of a power of two; 0 for 0, 255 for the rest."""
  if x == 0 and not np.signbit(x):
    return 0
  if not np.isfinite(x) or x <= 0 or math.frexp(x)[0] != 0.5:
    return 255
  byte = math.frexp(x)[1] + 126
  return byte if 1 <= byte <= 254 else 255


def pack_exponents(x: np.ndarray, missing: float = 0.0) -> np.ndarray:
  """Returns int32 [..., ceil(n / 4)], the last one filled with `missing`."""
  *batch, n = x.shape
  packed = np.zeros((*batch, -(-n // 4)), np.int32)
  for index in np.ndindex(packed.shape):
    row = x[index[:-1]]
    first = 4 * index[-1]
    numbers = [row[c] if c < n else missing for c in range(first, first + 4)]
    four = bytes(exponent_byte(float(v)) for v in numbers)
    packed[index] = int.from_bytes(four, "little", signed=True)
  return packed


def mn_major(sf: np.ndarray) -> np.ndarray:
  """Returns [b, align(mn, 4)] of sf [mn, b], zeros past mn."""
  mn, blocks = sf.shape
  result = np.zeros((blocks, -(-mn // 4) * 4), sf.dtype)
  for i in range(mn):
    for b in range(blocks):
      result[b, i] = sf[i, b]
  return result


def psum_rows(ends: list[int], alignment: int) -> list[range]:
  """Returns the rows of every group, each starting at a multiple."""
  groups = []
  previous = 0
  for end in ends:
    groups.append(range(-(-previous // alignment) * alignment, end))
    previous = end
  return groups


def k_grouped_pack(sf: np.ndarray, sizes: list[int], gran_k: int) -> np.ndarray:
  """Returns the packed rows of every group, one after the other."""
  rows, mn = sf.shape
  result = np.zeros(((rows + 3 * len(sizes)) // 4, -(-mn // 4) * 4), np.int32)
  source = target = 0
  for size in sizes:
    count = -(-size // gran_k)
    group = sf[source : source + count]
    packed = pack_exponents(group.T).T
    result[target : target + packed.shape[0], :mn] = packed
    source += count
    target += packed.shape[0]
  return result


def powers_of_two(shape: tuple[int, ...], seed: int) -> np.ndarray:
  """Returns float32 powers of two with exponents all over [-126, 127]."""
  exponents = np.random.default_rng(seed).integers(-126, 128, shape)
  return np.ldexp(np.float32(1), exponents).astype(np.float32)


def matrix(
  shape: tuple[int, ...], seed: int, dtype: np.dtype = np.float32
) -> np.ndarray:
  """Returns normal numbers whose rows and columns differ in magnitude."""
  rng = np.random.default_rng(seed)
  spread = np.exp2(rng.integers(-8, 8, (*shape[:-1], 1)))
  return (rng.standard_normal(shape) * spread).astype(dtype)


BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
