"""Scaling recipes: how many elements of an operand share a scale."""

from collections.abc import Sequence
from typing import Any

Granularity = tuple[int, int]

LEGAL = ((1, 128), (128, 128), (1, 32))

# DeepGEMM's forward recipe on Hopper: 1 x 128 for a, 128 x 128 for b.
_DEFAULT = (1, 128, 128)


def resolve_recipes(
  recipe: Sequence[int] | None,
  recipe_a: Sequence[int] | None,
  recipe_b: Sequence[int] | None,
) -> tuple[Granularity, Granularity]:
  """Returns (gran_m, gran_k) of a and (gran_n, gran_k) of b.

  Args:
    recipe: (gran_m, gran_n, gran_k), or None for (1, 128, 128).
    recipe_a: (gran_m, gran_k), instead of `recipe` and together with recipe_b.
    recipe_b: (gran_n, gran_k).

  Raises:
    TypeError: a recipe is not a sequence of integers.
    ValueError: a recipe is not supported, or the three do not go together.
  """
  if (recipe_a is None) != (recipe_b is None):
    raise ValueError(
      "recipe_a and recipe_b must be given together, got"
      f" recipe_a={recipe_a} and recipe_b={recipe_b}"
    )
  if recipe_a is not None:
    if recipe is not None:
      raise ValueError(
        "recipe must not be given with recipe_a and recipe_b, got"
        f" recipe={recipe}"
      )
    return _legal("recipe_a", recipe_a), _legal("recipe_b", recipe_b)
  recipe = _DEFAULT if recipe is None else recipe
  gran_m, gran_n, gran_k = _integers("recipe", recipe, 3)
  return _legal("recipe", (gran_m, gran_k)), _legal("recipe", (gran_n, gran_k))


def _legal(name: str, granularity: Sequence[int]) -> Granularity:
  pair = _integers(name, granularity, 2)
  if pair not in LEGAL:
    legal = ", ".join(f"{rows} x {k}" for rows, k in LEGAL)
    raise ValueError(
      f"{name} must have a scale for each {legal} elements (rows x k), got"
      f" {pair[0]} x {pair[1]}"
    )
  return pair


def _integers(name: str, recipe: Any, length: int) -> tuple[int, ...]:
  is_sequence = isinstance(recipe, (tuple, list))
  if not is_sequence or not all(type(size) is int for size in recipe):
    raise TypeError(f"{name} must be {length} integers, got {recipe!r}")
  if len(recipe) != length:
    raise ValueError(f"{name} must be {length} integers, got {recipe!r}")
  return tuple(recipe)
