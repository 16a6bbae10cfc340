"""group_of_rows against counting row by row."""

import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.primitives.grouped_layout import group_of_rows
from tests.grouped.grouped_oracle import LAYOUTS, row_groups

LARGEST = 2**31 - 1


def assert_agrees(layout, numbers, *, num_groups, num_rows, alignment=8):
  arguments = {
    "layout": layout,
    "alignment": alignment,
    "num_groups": num_groups,
    "num_rows": num_rows,
  }
  found = group_of_rows(jnp.asarray(numbers, jnp.int32), **arguments)
  assert found.dtype == jnp.int32
  expected = row_groups(numbers=numbers, **arguments)
  np.testing.assert_array_equal(found, expected)
  return expected


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_numbers_give_the_groups_of_the_definition(layout, seed):
  rng = np.random.default_rng(seed)
  num_groups = int(rng.integers(1, 9))
  num_rows = num_groups * int(rng.integers(1, 12))
  length = num_rows if layout == "index" else num_groups
  numbers = rng.integers(-3, 3 + [num_groups, num_rows][seed % 2], length)
  if layout == "psum" and seed % 3:
    numbers = np.sort(numbers)
  assert_agrees(layout, numbers, num_groups=num_groups, num_rows=num_rows)


@pytest.mark.parametrize(
  ("layout", "numbers", "expected"),
  [
    ("ragged", [2, 0, 1], [0, 0, 2, -1, -1, -1]),
    ("ragged", [LARGEST, LARGEST, 1], [0] * 6),
    ("ragged", [-5, 4, -(2**31)], [1, 1, 1, 1, -1, -1]),
    ("ragged", [5, LARGEST, LARGEST], [0, 0, 0, 0, 0, 1]),
    ("psum", [3, 3, 5], [0, 0, 0, -1, 2, -1]),
    ("psum", [LARGEST, LARGEST, 2], [0] * 6),
    ("psum", [5, 1, 6], [0, 0, 0, 0, 0, -1]),
    ("psum", [-1, 2, 6], [1, 1, -1, -1, 2, 2]),
    ("index", [0, 2, 3, -1, LARGEST, -7], [0, 2, -1, -1, -1, -1]),
    ("masked", [1, -4, LARGEST], [0, -1, -1, -1, 2, 2]),
  ],
)
def test_numbers_out_of_range_are_clamped(layout, numbers, expected):
  found = assert_agrees(layout, numbers, num_groups=3, num_rows=6, alignment=4)
  assert found == expected
