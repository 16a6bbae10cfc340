"""How the operands of a GEMM primitive lie: what its rules have to know."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jax_deepgemm.primitives.partition_plan import Sizes


@dataclasses.dataclass(frozen=True)
class GemmForm:
  """The operands are the arrays of a, those of b, and perhaps c.

  Attributes:
    arrays: of a and of b each: its values, and its scales if it has any.
    a_k_first: a is `[g, k, m]` instead of `[g, m, k]`.
    b_k_first: b is `[g, k, n]` instead of `[g, n, k]`.
    recipe_a: (gran_m, gran_k) of the scales of a, (1, 1) without.
    recipe_b: (gran_n, gran_k) of the scales of b.
    b_codes_per_element: columns along k that share an element of b's values.
  """

  arrays: int
  a_k_first: bool = False
  b_k_first: bool = False
  recipe_a: tuple[int, int] = (1, 1)
  recipe_b: tuple[int, int] = (1, 1)
  b_codes_per_element: int = 1

  @property
  def c(self) -> int:
    """The index of operand c, and how many operands there are without it."""
    return 2 * self.arrays

  @property
  def names(self) -> list[str]:
    """Names of the operands in order, c included."""
    return [*("a", "sfa")[: self.arrays], *("b", "sfb")[: self.arrays], "c"]

  def of_a(self, entries: Sequence[Any]) -> tuple[Any, ...]:
    """Returns what belongs to (g, m, k) from what belongs to a, or back."""
    return _swapped(entries) if self.a_k_first else tuple(entries)

  def of_b(self, entries: Sequence[Any]) -> tuple[Any, ...]:
    """Returns what belongs to (g, n, k) from what belongs to b, or back."""
    return _swapped(entries) if self.b_k_first else tuple(entries)

  def sizes(self, a_shape: Sequence[int], b_shape: Sequence[int]) -> Sizes:
    """Returns the sizes of a product of operands with a group dimension."""
    return Sizes.of(
      self.of_a(a_shape), self.of_b(b_shape), self.recipe_a, self.recipe_b
    )


def _swapped(entries: Sequence[Any]) -> tuple[Any, ...]:
  *others, x, y = entries
  return (*others, y, x)
