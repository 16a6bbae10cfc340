"""How many rows of MQA logits are in memory at a time."""

from jax_deepgemm.heuristics.device import Device

_LOGIT_BYTES = 4
# Long enough for launches not to matter, and a good part of it still in L2 when
# it is read again.
_WANTED_BYTES = 96 << 20
# For so many keys that fewer rows than multiprocessors would fit.
_MOST_BYTES = 192 << 20
_BLOCK_Q = 8  # Rows that kernels of logits multiply at once.


def rows_at_once(num_rows: int, width: int, device: Device) -> int:
  """Returns the rows of a chunk, at least one; chunks are of one size.

  Args:
    num_rows: of all chunks.
    width: columns of the logits.
    device: what it runs on.
  """
  row_bytes = max(width, 1) * _LOGIT_BYTES
  most = _WANTED_BYTES // row_bytes
  if most >= device.num_sms:
    most -= most % device.num_sms
  else:
    most = max(min(_MOST_BYTES // row_bytes, device.num_sms), 1)
  if most >= num_rows:
    return num_rows
  chunks = -(-num_rows // most)
  rows = -(-num_rows // chunks)
  # Whole blocks of queries, where that does not take more memory.
  return min(-(-rows // _BLOCK_Q) * _BLOCK_Q, most)
