"""NumPy oracle of the largest values of rows, and rows to try it on."""

import numpy as np

_SPECIAL = (np.inf, -np.inf, np.nan, -np.nan, 0.0, -0.0, 1e-40, -1e-40)


def rows(kind: str, num_rows: int, width: int) -> np.ndarray:
  """Returns float32 `[num_rows, width]`.

  Args:
    kind: of what values; "normal", "rising" and "falling" along the row, "tied"
      to one of three, "equal", "close" to each other, or "special".
    num_rows: rows.
    width: columns.
  """
  random = np.random.default_rng(num_rows * 1000 + width)
  normal = random.standard_normal((num_rows, width))
  match kind:
    case "normal":
      x = normal * np.exp2(np.arange(num_rows) % 5)[:, None]
    case "rising":
      x = np.sort(normal, axis=1)
    case "falling":
      x = -np.sort(normal, axis=1)
    case "tied":
      x = random.integers(-1, 2, normal.shape)
    case "equal":
      x = np.full(normal.shape, 3.25)
    case "close":
      x = 1000 + normal * 1e-3
    case "special":
      picks = random.choice(np.array(_SPECIAL, np.float32), normal.shape)
      x = np.where(random.random(normal.shape) < 0.3, picks, normal)
    case _:
      raise ValueError(f"kind must be one of those above, got {kind!r}")
  return x.astype(np.float32)


def largest(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns the k largest of a row and their columns, -inf and -1 behind.

  NaN is larger than all, zeros are equal, and of equal values the lower column
  comes first.
  """
  exact = values.astype(np.float64)
  is_nan = np.isnan(exact)
  order = np.lexsort((-np.where(is_nan, 0, exact), ~is_nan))[:k]
  found = np.full(k, -np.inf, np.float32)
  columns = np.full(k, -1, np.int32)
  found[: len(order)] = np.where(is_nan, np.nan, values + np.float32(0))[order]
  columns[: len(order)] = order
  return found, columns


def of_ranges(
  values: np.ndarray,
  starts: np.ndarray,
  ends: np.ndarray,
  num_keys: int,
  k: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns values and keys of all rows, `[rows, k]`.

  Args:
    values: `[rows, width]`, of which the first column has key starts[i].
    starts: first key of each row; cut to the keys.
    ends: one past the last; cut to the keys and the width.
    num_keys: how many keys there are.
    k: how many are wanted.
  """
  results = []
  for row, first, last in zip(
    values, starts.tolist(), ends.tolist(), strict=True
  ):
    first = min(max(first, 0), num_keys)
    count = min(max(min(last, num_keys) - first, 0), values.shape[1])
    found, columns = largest(row[:count], k)
    results.append((found, np.where(columns < 0, -1, columns + first)))
  found, keys = zip(*results, strict=True)
  return np.stack(found), np.stack(keys).astype(np.int32)
