"""Einsum expressions: which of those with a kernel one is, and its sizes."""

import dataclasses
import re
from collections.abc import Sequence

_FORM = re.compile(r"([A-Za-z]+),([A-Za-z]+)->([A-Za-z]+)")


@dataclasses.dataclass(frozen=True)
class Expression:
  """An expression as it was written, and the one that it is.

  Attributes:
    name: the same expression in the letters of the table, "bhr,hdr->bhd".
    a: letters of a, as written.
    b: letters of b.
    result: letters of the result.
  """

  name: str
  a: str
  b: str
  result: str

  @property
  def summed(self) -> str:
    """The first letter of a and b that the result does not have."""
    return self._of_both(False)

  @property
  def head(self) -> str:
    """The letter that a, b and the result have."""
    return self._of_both(True)

  def _of_both(self, in_result: bool) -> str:
    both = [x for x in self.a if x in self.b]
    return next(x for x in both if (x in self.result) == in_result)

  def sizes(
    self, a_shape: Sequence[int], b_shape: Sequence[int]
  ) -> dict[str, int]:
    """Returns the size of each letter.

    Raises:
      ValueError: a letter of both operands has two sizes.
    """
    sizes = dict(zip(self.a, a_shape, strict=True))
    for letter, size in zip(self.b, b_shape, strict=True):
      if sizes.setdefault(letter, size) != size:
        raise ValueError(
          f"a and b must have the same {letter}, got {sizes[letter]} and {size}"
          f" (a of shape {tuple(a_shape)}, b of shape {tuple(b_shape)})"
        )
    return sizes


def parse(expr: object, names: Sequence[str]) -> Expression:
  """Returns which of `names` the expression is.

  Spaces do not count, and letters may be renamed.

  Args:
    expr: as in `jax.numpy.einsum`.
    names: expressions that are accepted, without spaces.

  Raises:
    TypeError: expr is no string.
    ValueError: it is none of them.
  """
  if not isinstance(expr, str):
    raise TypeError(f"expr must be a string, got {type(expr).__name__}")
  text = re.sub(r"\s", "", expr)
  found = _FORM.fullmatch(text)
  for name in names:
    if found and _numbered(text) == _numbered(name):
      return Expression(name, *found.groups())
  known = ", ".join(repr(name) for name in names)
  raise ValueError(f"expr must be one of {known}, in any letters, got {expr!r}")


def layout(letters: str) -> str:
  """Returns the dimensions of an operand for messages: "[b, h, r]"."""
  return f"[{', '.join(letters)}]"


def _numbered(text: str) -> list[int | str]:
  """Returns the text with each letter replaced by when it first appeared."""
  letters: dict[str, int] = {}
  return [
    letters.setdefault(x, len(letters)) if x.isalpha() else x for x in text
  ]
