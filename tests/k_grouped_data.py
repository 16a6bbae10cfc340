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
