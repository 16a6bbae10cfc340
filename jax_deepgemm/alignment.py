"""Rounding of sizes: to whole blocks, and to the 16-byte pitch TMA asks for."""

_TMA_PITCH_BYTES = 16


def ceil_div(x: int, y: int) -> int:
  """Returns ceil(x / y) for y > 0.

  Negating twice instead of adding y - 1 cannot overflow, so int32 arrays that
  hold sizes near 2**31 may be passed as well.
  """
  return -(-x // y)


def align(x: int, y: int) -> int:
  """Returns the smallest multiple of y that is >= x, for y > 0."""
  return ceil_div(x, y) * y


def get_tma_aligned_size(x: int, elem_bytes: int) -> int:
  """Returns the smallest n >= x with (n * elem_bytes) % 16 == 0.

  Raises:
    ValueError: elem_bytes does not divide 16.
  """
  if elem_bytes <= 0 or _TMA_PITCH_BYTES % elem_bytes:
    raise ValueError(
      f"elem_bytes: expected a divisor of {_TMA_PITCH_BYTES}, got {elem_bytes}"
    )
  return align(x, _TMA_PITCH_BYTES // elem_bytes)
