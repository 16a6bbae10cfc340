"""What the tests of the command share."""

import pytest

from jax_deepgemm.cli import demo

# Each shape compiles eight programs.
_SHAPES = (("first", 8, 16, 128), ("second [bold]", 4, 100, 200))


@pytest.fixture
def few_shapes(monkeypatch):
  """Makes the demo short."""
  monkeypatch.setattr(demo, "shapes", lambda: _SHAPES)
  return _SHAPES
