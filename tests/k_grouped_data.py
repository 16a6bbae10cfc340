"""K-grouped operands in the kernel's layout, and the float64 answer."""

import ml_dtypes
import numpy as np

E4M3FN = ml_dtypes.float8_e4m3fn
BLOCK_K = 128


def blocks_of(size):
  return -(-max(size, 0) // BLOCK_K)


def packed_operand(rows, sizes, num_k_blocks, seed):
  """Returns values `[rows, 128 num_k_blocks]` and scales as the kernel reads.

  Scales are powers of two that differ between neighbours. What no product may
  read is NaN: columns behind the last group, scales past the last row.
  """
  random = np.random.default_rng(seed)
  values = np.full((rows, num_k_blocks * BLOCK_K), np.nan, E4M3FN)
  scales = np.full((num_k_blocks, -(-rows // 4) * 4), np.nan, np.float32)
  block = 0
  for size in sizes:
    count = blocks_of(size)
    first = block * BLOCK_K
    values[:, first : first + count * BLOCK_K] = 0
    normal = random.standard_normal((rows, size)) * 100
    values[:, first : first + size] = np.clip(normal, -448, 448).astype(E4M3FN)
    exponents = random.integers(-8, 4, (count, rows))
    scales[block : block + count, :rows] = np.exp2(exponents)
    block += count
  return values, scales


def dense_groups(values, scales, sizes):
  """Returns the float64 matrix `[rows, size]` of each group."""
  rows = values.shape[0]
  groups, block = [], 0
  for size in sizes:
    first = block * BLOCK_K
    count = blocks_of(size)
    spread = np.repeat(scales[block : block + count, :rows], BLOCK_K, axis=0)
    dense = values[:, first : first + size].astype(np.float64)
    groups.append(dense * spread[:size].T.astype(np.float64))
    block += count
  return groups


def product(a_groups, b_groups, c=None):
  """Returns D `[g, m, n]` in float64, and the sums of magnitudes."""
  pairs = list(zip(a_groups, b_groups, strict=True))
  exact = np.stack([a @ b.T for a, b in pairs])
  magnitude = np.stack([np.abs(a) @ np.abs(b).T for a, b in pairs])
  if c is not None:
    exact, magnitude = exact + c, magnitude + np.abs(c)
  return exact, magnitude


def quantised(rows, sizes, sum_k, seed, spare_blocks=2):
  """Returns `[sum_k, rows]` codes and `[blocks, rows]` scales, layout tn.

  What is in no group is NaN, and so are scales behind the last group's.
  """
  random = np.random.default_rng(seed)
  count = sum(map(blocks_of, sizes))
  normal = np.clip(random.standard_normal((sum_k, rows)) * 100, -448, 448)
  values = normal.astype(E4M3FN)
  values[sum(sizes) :] = np.nan
  exponents = random.integers(-8, 4, (count, rows))
  scales = np.full((count + spare_blocks, rows), np.nan, np.float32)
  scales[:count] = np.exp2(exponents)
  return values, scales


def dequantised(values, scales, sizes, starts=None):
  """Returns the float64 matrix `[size, rows]` of each group, layout tn."""
  groups, start, block = [], 0, 0
  for i, size in enumerate(sizes):
    start = start if starts is None else starts[i]
    codes = values[start : start + size].astype(np.float64)
    rows = block + np.arange(size) // BLOCK_K
    groups.append(codes * scales[rows].astype(np.float64))
    start += size
    block += blocks_of(size)
  return groups


def with_gaps(values, sizes):
  """Returns the rows of each group at the next multiple of 128, and ends.

  Layout tn; the rows between groups, and behind the last, are NaN.
  """
  total = sum(map(blocks_of, sizes)) * BLOCK_K
  spread = np.full((total, values.shape[1]), np.nan, values.dtype)
  ends, starts, source, start = [], [], 0, 0
  for size in sizes:
    spread[start : start + size] = values[source : source + size]
    starts.append(start)
    ends.append(start + size)
    source += size
    start += blocks_of(size) * BLOCK_K
  return spread, np.array(ends, np.int32), starts


def flattened(values, sizes):
  """Returns the matrices `[rows, size]` of the groups, one after the other.

  Layout tn; what is behind the last group stays behind it.
  """
  parts, start = [], 0
  for size in (*sizes, values.shape[0] - sum(sizes)):
    parts.append(values[start : start + size].T.reshape(-1))
    start += size
  return np.concatenate(parts)


def assert_close(found, exact, magnitude):
  """Checks each element to float32's rounding of its own sum."""
  found = np.asarray(found)
  assert found.dtype == np.float32
  assert found.shape == exact.shape
  assert np.all(np.abs(found - exact) <= 2.0**-20 * magnitude)
