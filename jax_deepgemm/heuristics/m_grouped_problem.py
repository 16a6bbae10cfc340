"""What a GEMM of groups of rows is to compute, whatever its operands' type."""

import dataclasses

MAX_GROUPS = 1024  # Their table takes 12 KB of shared memory.


@dataclasses.dataclass(frozen=True)
class MGroupedProblem:
  """Rows `[m, k]`, each times the `[n, k]` of its group.

  Attributes:
    m: rows of all groups, and of none.
    expected_m: rows that a group is expected to have.
    row_alignment: what rows at which groups begin are multiples of.
    float32_out: the result is float32 instead of bfloat16.
    scatters_rows: rows of D lie anywhere, at addresses that the device has.
  """

  m: int
  n: int
  k: int
  num_groups: int
  expected_m: int
  row_alignment: int = 1
  float32_out: bool = False
  scatters_rows: bool = False

  @property
  def out_bytes(self) -> int:
    """Bytes of an element of D."""
    return 4 if self.float32_out else 2
