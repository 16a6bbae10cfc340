"""Where the operands of a batched GEMM lie in memory: a hint, not a meaning.

Groups are the first dimension of every operand, `[g, x, y]`, yet a caller may
hold `[x, g, y]`. The lowering then transposes back, which XLA cancels with what
made groups the first dimension, and the kernel's tensor maps go from row to row
in larger steps. What did not lie so is copied by XLA: a wrong hint costs time,
never a value.
"""

import dataclasses

import jax


@dataclasses.dataclass(frozen=True)
class MemoryOrder:
  """Hints for the operands of one GEMM.

  Attributes:
    a_groups_inside: a `[g, x, y]` lies as `[x, g, y]`.
    b_groups_inside: b does.
    d_groups_inside: the result shall; a GEMM with c ignores it, as c would have
      to lie like that, too.
    k_run: if not 0, k is made of runs of so many elements, and a `[m, k]` and
      b `[n, k]` lie as `[k / k_run, m, k_run]` and `[k / k_run, n, k_run]`.
  """

  a_groups_inside: bool = False
  b_groups_inside: bool = False
  d_groups_inside: bool = False
  k_run: int = 0


ROW_MAJOR = MemoryOrder()


def steps(
  groups: int, rows: int, pitch: int, groups_inside: bool
) -> tuple[int, int]:
  """Returns how far rows, and groups, of `[groups, rows, ...]` lie apart.

  Args:
    groups: how many there are.
    rows: of a group.
    pitch: from one line to the next in memory, in any unit.
    groups_inside: the lines of all groups of a row follow each other.
  """
  return (groups * pitch, pitch) if groups_inside else (pitch, rows * pitch)


def as_it_lies(x: jax.Array, groups_inside: bool) -> jax.Array:
  """Returns `[g, x, y]` as it lies in memory, or back."""
  return x.swapaxes(0, 1) if groups_inside else x
