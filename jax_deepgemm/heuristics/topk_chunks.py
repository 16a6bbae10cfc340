"""How many rows of MQA logits are in memory at a time."""

from jax_deepgemm.heuristics.device import Device

_LOGIT_BYTES = 4
# So long that launches and the ends of kernels, 10 us a chunk, matter little.
_WANTED_BYTES = 144 << 20
# For so many keys that fewer rows than multiprocessors would fit.
_MOST_BYTES = 192 << 20
_BLOCK_Q = 8  # Rows that kernels of logits multiply at once.
_ROWS_PER_SM = 2  # That are selected from at a time.


def rows_at_once(num_rows: int, width: int, device: Device) -> int:
  """Returns the rows of a chunk, at least one; chunks are of one size.

  Args:
    num_rows: of all chunks.
    width: columns of the logits.
    device: what it runs on.
  """
  row_bytes = max(width, 1) * _LOGIT_BYTES
  most = _WANTED_BYTES // row_bytes
  wave = _ROWS_PER_SM * device.num_sms
  if most >= wave:
    most -= most % wave
  else:
    most = max(min(_MOST_BYTES // row_bytes, device.num_sms), 1)
  if most >= num_rows:
    return num_rows
  chunks = -(-num_rows // most)
  rows = -(-num_rows // chunks)
  # Whole blocks of queries, where that does not take more memory.
  return min(-(-rows // _BLOCK_Q) * _BLOCK_Q, most)
